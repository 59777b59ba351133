"""Rows are written shorter: events without what their columns say, long texts compressed.

Older rows stay as they are and are read as before; older programs, which cannot read the new ones, are refused.
"""

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Change nothing but the version."""
