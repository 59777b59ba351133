"""The command `intendant` with all its commands."""

from intendant.cli import classifying, planning, plugins, running, runs
from intendant.cli.shared import app

__all__ = ["app", "classifying", "planning", "plugins", "running", "runs"]
