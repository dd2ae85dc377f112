"""Alembic runs this file; the connection comes from plugin.state.database.migrate."""

from alembic import context

from plugin.state.kept import (  # noqa: F401  beside all other tables
    embeddings,
    listings,
    orders,
    people,
    questions,
    refusals,
    reviews,
    signed,
    trials,
)
from plugin.state.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
