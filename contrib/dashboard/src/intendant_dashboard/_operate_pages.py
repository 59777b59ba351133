"""Pages on which operators change something."""
