"""Alembic's entry script. It migrates over the connection of `upgrade`, within its transaction."""

from alembic import context

from mainstem.state.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
