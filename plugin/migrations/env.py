"""Alembic runs this file; the connection comes from plugin.state.database.migrate."""

from alembic import context

from plugin.state.trials import Base  # with the tables of models, beside all others

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
