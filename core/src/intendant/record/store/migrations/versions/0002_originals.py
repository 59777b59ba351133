"""Originals of what was compressed."""

import sqlalchemy as sa  # noqa: TID253
from alembic import op  # noqa: TID253

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add their table."""
    op.create_table(
        "original",
        sa.Column("run_id", sa.String(length=300), nullable=False),
        sa.Column("handle", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_original_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "handle", name=op.f("pk_original")),
    )
