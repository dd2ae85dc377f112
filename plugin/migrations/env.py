"""Alembic runs this file; the connection comes from plugin.database.migrate."""

from alembic import context

from plugin.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
