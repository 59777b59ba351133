"""Answers that later runs may use again; what was known before a run, for whoever resumes it."""

import sqlalchemy as sa  # noqa: TID253
from alembic import op  # noqa: TID253

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add a table and a column."""
    op.add_column("run", sa.Column("memory", sa.Text(), nullable=True))
    op.create_table(
        "response",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_response")),
    )
    op.create_index("ix_response_expires_at", "response", ["expires_at"], unique=False)
