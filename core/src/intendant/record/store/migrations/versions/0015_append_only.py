"""The database itself refuses to change what is only ever added to."""

from alembic import op  # noqa: TID253

from intendant.record.store import triggers

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Add the triggers."""
    triggers.create(op.get_bind())
