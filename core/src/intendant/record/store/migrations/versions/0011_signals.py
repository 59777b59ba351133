"""Signals, which are what happens outside while runs wait for it; approvals by a majority."""

import sqlalchemy as sa  # noqa: TID253
from alembic import op  # noqa: TID253

revision = "0011"
down_revision = "0010"

KEY = sa.String(length=300)


def upgrade() -> None:
    """Add a table and a column."""
    op.add_column("approval", sa.Column("denials", sa.Integer(), nullable=True))
    op.create_table(
        "signal",
        sa.Column("run_id", KEY, nullable=False),
        sa.Column("id", KEY, nullable=False),
        sa.Column("event", KEY, nullable=False),
        sa.Column("payload", sa.Text(), nullable=True),
        sa.Column("sent_by", KEY, nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("salt", sa.String(length=32), nullable=True),
        sa.Column("taken_by", KEY, nullable=True),
        sa.Column("taken_sha256", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_signal_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "id", name=op.f("pk_signal")),
    )
