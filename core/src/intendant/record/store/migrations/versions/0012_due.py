"""When waiting runs are due, whether somebody asked them to pause, and how far triggers have come."""

import sqlalchemy as sa  # noqa: TID253
from alembic import op  # noqa: TID253

revision = "0012"
down_revision = "0011"

WAITING = sa.text("status = 'waiting'")
RUNNING = sa.text("status = 'running'")


def upgrade() -> None:
    """Add two columns, indexes by which a worker finds what it has to do, and a table."""
    op.add_column("run", sa.Column("due_at", sa.Float(), nullable=True))
    op.add_column("run", sa.Column("pause_requested", sa.Integer(), server_default="0", nullable=False))
    op.create_index("ix_run_due", "run", ["tenant", "due_at"], sqlite_where=WAITING, postgresql_where=WAITING)
    op.create_index(
        "ix_run_running", "run", ["tenant", "lease_until"], sqlite_where=RUNNING, postgresql_where=RUNNING
    )
    op.create_table(
        "schedule",
        sa.Column("tenant", sa.String(length=300), nullable=False),
        sa.Column("name", sa.String(length=300), nullable=False),
        sa.Column("seen_until", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name", name=op.f("pk_schedule")),
    )
