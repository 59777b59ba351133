"""Where embedders place memories."""

import sqlalchemy as sa  # noqa: TID253
from alembic import op  # noqa: TID253

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "memory_vector",
        sa.Column("agent_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("memory_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("space", sa.String(length=200), nullable=False),
        sa.Column("place", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("agent_id", "memory_id", name=op.f("pk_memory_vector")),
        sqlite_with_rowid=False,
    )
