"""All rows of a study, in whatever table: followed along the foreign keys that lead to it."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Table, delete, or_, select
from sqlalchemy.orm import Session

from plugin.state.columns import Base
from plugin.state.tables import Absent, Study


def delete_study(session: Session, study: Study) -> None:
    """Delete a study, its timeline, jobs, drafts, deliveries, and what else refers to it."""
    absent = Absent.study_instance_uid == study.study_instance_uid
    session.execute(delete(Absent).where(absent))
    for table in reversed(Base.metadata.sorted_tables):
        condition = _leads_to(table, study.id)
        if condition is not None:
            session.execute(delete(table).where(condition))
    session.expunge(study)


def _leads_to(table: Table, study_id: int) -> ColumnElement[bool] | None:
    """Whether a row belongs to the study; None where no row of the table belongs to any."""
    if table is Study.__table__:
        return table.c.id == study_id
    ways = []
    for key in sorted(table.foreign_keys, key=lambda key: key.parent.name):
        parent = key.column.table
        if parent is Study.__table__:
            return key.parent == study_id
        above = None if parent is table else _leads_to(parent, study_id)
        if above is not None:
            ways.append(key.parent.in_(select(key.column).where(above)))
    return or_(*ways) if ways else None
