"""What runs ask people, and what these decided."""

import sqlalchemy as sa  # noqa: TID253
from alembic import op  # noqa: TID253

revision = "0006"
down_revision = "0004"


def upgrade() -> None:
    """Add two tables."""
    op.create_table(
        "approval",
        sa.Column("run_id", sa.String(length=300), nullable=False),
        sa.Column("step_key", sa.String(length=300), nullable=False),
        sa.Column("ask", sa.Text(), nullable=False),
        sa.Column("deciders", sa.Text(), nullable=False),
        sa.Column("need", sa.Integer(), nullable=False),
        sa.Column("otherwise", sa.String(length=12), nullable=False),
        sa.Column("shown", sa.Text(), nullable=False),
        sa.Column("input_sha256", sa.String(length=64), nullable=False),
        sa.Column("asked_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=True),
        sa.Column("verdict", sa.String(length=12), nullable=True),
        sa.Column("salt", sa.String(length=32), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_approval_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "step_key", name=op.f("pk_approval")),
    )
    op.create_table(
        "decision",
        sa.Column("run_id", sa.String(length=300), nullable=False),
        sa.Column("step_key", sa.String(length=300), nullable=False),
        sa.Column("decided_by", sa.String(length=300), nullable=False),
        sa.Column("input_sha256", sa.String(length=64), nullable=False),
        sa.Column("verdict", sa.String(length=12), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("salt", sa.String(length=32), nullable=True),
        sa.CheckConstraint("verdict IN ('approved', 'denied')", name=op.f("ck_decision_verdict")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_decision_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "step_key", "decided_by", "input_sha256", name=op.f("pk_decision")),
    )
