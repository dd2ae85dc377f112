"""Who has which study open."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from plugin.state.kept.people import Person
from plugin.state.kept.reviews import Presence

# A page tells it every 20 seconds; one that was closed is forgotten after two that did not come
GONE_AFTER = timedelta(seconds=50)

Reader = dict[str, Any]


def tell_presence(session: Session, study_id: int, person: str, now: datetime) -> None:
    """Write down that somebody has a study open, and forget who has not.

    Parameters
    ----------
    session : Session
        The caller's transaction.
    study_id : int
        Key of the study.
    person : str
        The name that they sign in with.
    now : datetime
        The moment, in UTC.
    """
    session.execute(delete(Presence).where(Presence.seen_at < now - GONE_AFTER))
    row = session.get(Presence, (study_id, person))
    if row is None:
        session.add(Presence(study_id=study_id, person=person, since=now, seen_at=now))
    else:
        row.seen_at = now


def readers_of(
    session: Session, study_ids: Sequence[int], now: datetime
) -> dict[int, list[Reader]]:
    """Return who has some studies open, who came first at the head.

    Parameters
    ----------
    session : Session
        The database.
    study_ids : sequence of int
        Keys of the studies.
    now : datetime
        The moment, in UTC.
    """
    query = (
        select(Presence.study_id, Presence.since, Person.display_name)
        .join(Person, Person.name == Presence.person)
        .where(Presence.study_id.in_(study_ids), Presence.seen_at >= now - GONE_AFTER)
        .order_by(Presence.since, Person.name)
    )
    found: dict[int, list[Reader]] = {}
    for study_id, since, name in session.execute(query):
        found.setdefault(study_id, []).append({"name": name, "since": since.isoformat()})
    return found
