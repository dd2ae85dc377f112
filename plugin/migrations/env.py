"""Alembic runs this file; the connection comes from plugin.state.database.migrate."""

from alembic import context

from plugin.state import embeddings, signed, trials  # noqa: F401  their tables are beside all others
from plugin.state.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
