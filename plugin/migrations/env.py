"""Alembic runs this file; the connection comes from plugin.state.database.migrate."""

from alembic import context

from plugin.state import audit, tally  # noqa: F401  their tables, too
from plugin.state.columns import Base
from plugin.state.kept import (  # noqa: F401  beside all other tables
    commitments,
    embeddings,
    heat_maps,
    listings,
    orders,
    people,
    questions,
    refusals,
    reviews,
    signed,
    trials,
)
from plugin.upkeep.alarms import tables  # noqa: F401  those of alarms

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
