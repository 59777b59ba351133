"""Limits have a name of who set them; ids of tables that grow with each call or run are 64 bits wide.

SQLite's are already. PostgreSQL writes `ledger` and the tables of memories anew, and locks them meanwhile.
"""

import sqlalchemy as sa  # noqa: TID253
from alembic import op  # noqa: TID253

revision = "0018"
down_revision = "0017"

COLUMNS = {"ledger": "id", "memory": "id", "memory_vector": "memory_id", "memory_term": "memory_id"}


def upgrade() -> None:
    """Add a column, and widen others and the sequences that number two of them."""
    op.add_column("budget_limit", sa.Column("changed_by", sa.String(length=200)))
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, column in COLUMNS.items():
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE BIGINT")
        if column == "id":
            op.execute(f"ALTER SEQUENCE {table}_id_seq AS BIGINT")
