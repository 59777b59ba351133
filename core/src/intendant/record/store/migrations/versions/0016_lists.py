"""Lists of runs by status, and of calls in doubt, are read through indexes."""

from alembic import op  # noqa: TID253
from sqlalchemy import text  # noqa: TID253

revision = "0016"
down_revision = "0015"
DOUBTFUL = text("state = 'in_doubt'")


def upgrade() -> None:
    """Add the indexes."""
    op.create_index("ix_run_status", "run", ["tenant", "status", "created_at"])
    op.create_index("ix_hold_doubt", "hold", ["created_at"], sqlite_where=DOUBTFUL, postgresql_where=DOUBTFUL)
