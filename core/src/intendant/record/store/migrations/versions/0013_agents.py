"""Agents: their figures, their definitions, and what they remember."""

import sqlalchemy as sa  # noqa: TID253
from alembic import op  # noqa: TID253

revision = "0013"
down_revision = "0012"

KEY = sa.String(length=300)


def upgrade() -> None:
    """Add the tables. Runs of before are not counted: their agents begin without data."""
    op.create_table(
        "agent",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("tenant", KEY, nullable=False),
        sa.Column("name", KEY, nullable=False),
        sa.Column("runs", sa.Integer(), server_default="0", nullable=False),
        sa.Column("memories", sa.Integer(), server_default="0", nullable=False),
        sa.Column("scores", sa.Text(), nullable=True),
        sa.Column("definition", sa.Text(), nullable=True),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent")),
        sa.UniqueConstraint("tenant", "name", name="uq_agent_name"),
    )
    op.create_table(
        "observation",
        sa.Column("run_id", KEY, nullable=False),
        sa.Column("agent_id", sa.Integer(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agent.id"], name=op.f("fk_observation_agent_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_observation")),
    )
    op.create_index("ix_observation_agent", "observation", ["agent_id", "at", "run_id"], unique=False)
    _memory()


def _memory() -> None:
    op.create_table(
        "memory",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("agent_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("importance", sa.Integer(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("source", sa.String(length=12), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("used_at", sa.Float(), nullable=True),
        sa.Column("uses", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint("importance BETWEEN 1 AND 10", name=op.f("ck_memory_importance")),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"], name=op.f("fk_memory_agent_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memory")),
        sa.UniqueConstraint("agent_id", "subject", name="uq_memory_subject"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_memory_agent", "memory", ["agent_id", "kind", "id"], unique=False)
    op.create_table(
        "memory_term",
        sa.Column("agent_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("term", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("memory_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("agent_id", "term", "memory_id", name=op.f("pk_memory_term")),
        sqlite_with_rowid=False,
    )
