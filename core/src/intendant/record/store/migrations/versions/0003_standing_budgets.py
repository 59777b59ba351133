"""Standing limits of tenants and agents, leases of them, and holds that can be closed by whoever finds them."""

import sqlalchemy as sa  # noqa: TID253
from alembic import op  # noqa: TID253

revision = "0003"
down_revision = "0002"

KEY = sa.String(length=300)


def upgrade() -> None:
    """Add tables and columns; holds made before learn whose they were and which budgets they count in."""
    _limits()
    _leases()
    for column in ("wanted_tokens", "wanted_micro"):
        op.add_column("budget", sa.Column(column, sa.BigInteger(), nullable=True))
    op.add_column("hold", sa.Column("agent", KEY, server_default="default", nullable=False))
    op.add_column("hold", sa.Column("tenant", KEY, server_default="default", nullable=False))
    op.add_column("hold", sa.Column("chain", sa.Text(), server_default="[]", nullable=False))
    op.add_column("hold", sa.Column("lease", KEY, nullable=True))
    for column in ("spent_tokens", "spent_micro"):
        op.add_column("hold", sa.Column(column, sa.BigInteger(), nullable=True))
    _indexes()
    op.execute("""UPDATE hold SET chain = '["run:' || run_id || '", "' || scope || '"]'""")
    op.execute("UPDATE hold SET spent_tokens = tokens, spent_micro = micro WHERE state = 'in_doubt'")
    op.execute(
        "UPDATE hold SET agent = (SELECT run.agent FROM run WHERE run.id = hold.run_id) "
        "WHERE EXISTS (SELECT 1 FROM run WHERE run.id = hold.run_id)"
    )


def _limits() -> None:
    op.create_table(
        "budget_limit",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("scope", KEY, nullable=False),
        sa.Column("per", sa.String(length=12), nullable=False),
        sa.Column("limit_tokens", sa.BigInteger(), nullable=True),
        sa.Column("limit_micro", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.Float(), nullable=False),
        sa.CheckConstraint("per IN ('day', 'month')", name=op.f("ck_budget_limit_per")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budget_limit")),
    )
    op.create_index("ix_budget_limit_scope", "budget_limit", ["scope", "per", "id"], unique=False)


def _leases() -> None:
    op.create_table(
        "lease",
        sa.Column("id", KEY, nullable=False),
        sa.Column("owner", KEY, nullable=False),
        sa.Column("agent", KEY, nullable=False),
        sa.Column("tenant", KEY, nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("micro", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.CheckConstraint("state IN ('open', 'closed')", name=op.f("ck_lease_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lease")),
    )
    op.create_index("ix_lease_state", "lease", ["state", "expires_at"], unique=False)


def _indexes() -> None:
    for name, column, condition in (
        ("ix_hold_open", "expires_at", "state = 'held'"),
        ("ix_hold_lease", "lease", "lease IS NOT NULL"),
    ):
        where = sa.text(condition)
        op.create_index(name, "hold", [column], unique=False, sqlite_where=where, postgresql_where=where)
