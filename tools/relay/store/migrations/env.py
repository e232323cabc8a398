"""Run by alembic with the connection that `upgrade` was given."""

from alembic import context

from tools.relay.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
