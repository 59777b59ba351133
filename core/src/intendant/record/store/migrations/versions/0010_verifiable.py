"""A record that can be verified: digests of rows in the journal, salts, signatures; tenants; decisions about calls
in doubt.
"""

import sqlalchemy as sa  # noqa: TID253
from alembic import op  # noqa: TID253

revision = "0010"
down_revision = "0006"

KEY = sa.String(length=300)
SALTED = ("run", "step", "hold", "outbox", "original")


def upgrade() -> None:
    """Add the columns. What is there already is committed to the chain afterwards: see `adoption`."""
    op.add_column("run", sa.Column("tenant", KEY, server_default="default", nullable=False))
    op.execute(
        "UPDATE run SET tenant = (SELECT min(hold.tenant) FROM hold WHERE hold.run_id = run.id) "
        "WHERE EXISTS (SELECT 1 FROM hold WHERE hold.run_id = run.id)"
    )
    op.create_index("ix_run_tenant", "run", ["tenant", "created_at"], unique=False)
    op.add_column("hold", sa.Column("sending", sa.Integer(), server_default="1", nullable=False))
    op.add_column("hold", sa.Column("decided", sa.String(length=12), nullable=True))
    for table in SALTED:
        op.add_column(table, sa.Column("salt", sa.String(length=32), nullable=True))
    op.add_column("run", sa.Column("file", sa.Text(), nullable=True))
    op.add_column("ledger", sa.Column("beyond", sa.Text(), nullable=True))
    op.add_column("event", sa.Column("commits", sa.Text(), nullable=True))
    op.add_column("event", sa.Column("mac", sa.String(length=80), nullable=True))
    _originals_can_be_erased()
    _nothing_is_spent_below_zero()


def _originals_can_be_erased() -> None:
    with op.batch_alter_table("original") as batch:
        batch.alter_column("text", existing_type=sa.Text(), nullable=True)


def _nothing_is_spent_below_zero() -> None:
    """Amounts below zero, which only faults of earlier versions can have left, become zero."""
    for unit in ("tokens", "micro"):
        op.execute(f"UPDATE budget SET spent_{unit} = 0 WHERE spent_{unit} < 0")  # noqa: S608  # constants
    with op.batch_alter_table("budget") as batch:
        batch.create_check_constraint(op.f("ck_budget_spent"), "spent_tokens >= 0 AND spent_micro >= 0")
