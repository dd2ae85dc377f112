"""The life of the service's processes, and their settings, in the audit trail."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from plugin.state import audit
from plugin.state.audit import Action, AuditRow, Entry, this_process
from plugin.state.clock import now_of
from plugin.state.database import SessionFactory, reason_of

LOGGER = logging.getLogger(__name__)
# How the entries of settings name what they are about, beside rules
SETTINGS = "settings"


@contextmanager
def audited(sessions: SessionFactory, part: str) -> Iterator[None]:
    """Record that a process starts, and that it stops in order, around a `with` block.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    part : str
        What the process does: receive, work, deliver or upkeep.
    """
    who = this_process(f"ctscribe {part}")
    with sessions.begin() as session:
        audit.record(session, Entry(action=Action.STARTED, who=who), now=now_of(session))
    try:
        yield
    finally:
        try:
            with sessions.begin() as session:
                audit.record(session, Entry(action=Action.STOPPED, who=who), now=now_of(session))
        except DBAPIError as error:  # what ends must end, whatever the database does
            LOGGER.error("the end of %s is not in the audit trail: %s", part, reason_of(error))


def note_settings(sessions: SessionFactory, values: Mapping[str, Any]) -> None:
    """Record which settings hold from now on, unless they are those of the latest such entry.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    values : mapping
        All settings, in tables; no secret is among them.
    """
    with sessions.begin() as session:
        before = _latest(session)
        changed = sorted(_differing(before, values)) if before is not None else []
        if before is not None and not changed:
            return
        detail = f"{SETTINGS}: {', '.join(changed)}" if changed else f"{SETTINGS} at first"
        entry = Entry(
            action=Action.CONFIGURED,
            who=this_process(),
            detail=detail,
            values={SETTINGS: dict(values)},
        )
        audit.record(session, entry, now=now_of(session))


def _latest(session: Session) -> dict[str, Any] | None:
    named = AuditRow.record.contains(f'"action": "{Action.CONFIGURED}"')
    configured = select(AuditRow).where(AuditRow.study_instance_uid.is_(None), named)
    for row in session.scalars(configured.order_by(AuditRow.position.desc())):
        entry = row.entry
        if entry.action is Action.CONFIGURED and SETTINGS in entry.values:
            found: dict[str, Any] = entry.values[SETTINGS]
            return found
    return None


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys that differ, with their tables."""
    for table in {*before, *now}:
        old, new = before.get(table), now.get(table)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from (f"{table}.{key}" for key in {*old, *new} if old.get(key) != new.get(key))
        elif old != new:
            yield table
