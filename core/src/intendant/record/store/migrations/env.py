"""Alembic's environment: migrates over the connection it is handed."""

from alembic import context  # noqa: TID253

from intendant.record.store.tables import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
context.run_migrations()
