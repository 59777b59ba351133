"""Lists of runs by status, runs without figures, and calls in doubt are found through indexes."""

from alembic import op  # noqa: TID253
from sqlalchemy import text  # noqa: TID253

revision = "0016"
down_revision = "0015"
ENDED = text("finished_at IS NOT NULL AND plan_version > 0")
DOUBTFUL = text("state = 'in_doubt'")


def upgrade() -> None:
    """Add the indexes."""
    ended = ["tenant", "created_at", "id", "finished_at", "plan_version"]
    op.create_index("ix_run_ended", "run", ended, sqlite_where=ENDED, postgresql_where=ENDED)
    op.create_index("ix_run_status", "run", ["tenant", "status", "created_at"])
    op.create_index("ix_hold_doubt", "hold", ["created_at"], sqlite_where=DOUBTFUL, postgresql_where=DOUBTFUL)
