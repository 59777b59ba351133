"""What operating needs: changes of settings, ratings, figures of runs, counts of rollouts, pruned runs."""

import sqlalchemy as sa  # noqa: TID253
from alembic import op  # noqa: TID253

revision = "0014"
down_revision = "0013"

KEY = sa.String(length=300)


def upgrade() -> None:
    """Add the tables."""
    _what_people_say()
    _what_is_computed()


def _what_people_say() -> None:
    op.create_table(
        "setting_change",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("tenant", KEY, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("key", KEY, nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("changed_by", KEY, nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_setting_change")),
    )
    op.create_index("uq_setting_change", "setting_change", ["tenant", "version", "key"], unique=True)
    op.create_table(
        "rating",
        sa.Column("run_id", KEY, nullable=False),
        sa.Column("step_key", KEY, nullable=False),
        sa.Column("rated_by", KEY, nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("rating", sa.Integer(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("salt", sa.String(length=32), nullable=True),
        sa.CheckConstraint("rating BETWEEN 1 AND 5", name=op.f("ck_rating_rating")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_rating_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "step_key", "rated_by", "at", name=op.f("pk_rating")),
    )
    op.create_table(
        "pruned",
        sa.Column("run_id", KEY, nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("pruned_by", KEY, nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_pruned")),
    )


def _what_is_computed() -> None:
    op.create_table(
        "run_figure",
        sa.Column("run_id", KEY, nullable=False),
        sa.Column("tenant", KEY, nullable=False),
        sa.Column("agent", KEY, nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("figures", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_run_figure_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_run_figure")),
    )
    op.create_index("ix_run_figure_at", "run_figure", ["tenant", "at"], unique=False)
    op.create_table(
        "canary_count",
        sa.Column("tenant", KEY, nullable=False),
        sa.Column("flag", KEY, nullable=False),
        sa.Column("began", KEY, nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("arm", sa.String(length=8), nullable=False),
        sa.Column("criterion", sa.String(length=20), nullable=False),
        sa.Column("samples", sa.BigInteger(), nullable=False),
        sa.Column("bad", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "tenant", "flag", "began", "stage", "arm", "criterion", name=op.f("pk_canary_count")
        ),
    )
