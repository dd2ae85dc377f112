"""Reading the audit trail: all of it, and whether it is unbroken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from plugin.state.audit import NO_HASH, AuditForwarding, AuditRow, chained

# Rows that are in memory at once
_AT_ONCE = 1000


@dataclass(frozen=True)
class Verified:
    """What a look at the whole trail found.

    Parameters
    ----------
    entries : int
        How many were read, up to the first that is wrong.
    head : str
        Hash of the newest of them: whoever writes it down can prove later that nothing before it
        was changed.
    problem : str, optional
        What is wrong.
    """

    entries: int
    head: str
    problem: str | None = None


def rows(
    session: Session, since: datetime | None = None, until: datetime | None = None
) -> Iterator[AuditRow]:
    """Yield the trail in its order.

    Parameters
    ----------
    session : Session
        Of the service's database.
    since, until : datetime, optional
        The first moment that counts, and the first that does not.
    """
    chosen = select(AuditRow).order_by(AuditRow.position).limit(_AT_ONCE)
    if since is not None:
        chosen = chosen.where(AuditRow.time >= since)
    if until is not None:
        chosen = chosen.where(AuditRow.time < until)
    position = 0
    while found := session.scalars(chosen.where(AuditRow.position > position)).all():
        yield from found
        position = found[-1].position
        session.expunge_all()  # a trail of years does not fit into memory


def verify(session: Session, head: str | None = None) -> Verified:
    """Read the whole trail, and compare it with its hashes and with what repositories have.

    Parameters
    ----------
    session : Session
        Of the service's database.
    head : str, optional
        A hash that was written down earlier: it must be in the chain.
    """
    wanted = {at.position: at for at in _forwarded(session)}
    count, latest, seen = 0, NO_HASH, head is None
    for row in rows(session):
        problem = _problem(row, count + 1, latest)
        at = wanted.pop(row.position, None)
        if problem is None and at is not None and at.hash != row.hash:
            problem = f"entry {row.position} is not the one that {at.repository} has"
        if problem is not None:
            return Verified(count, latest, problem)
        count, latest = row.position, row.hash
        seen = seen or row.hash == head
    for at in wanted.values():
        problem = f"{at.repository} has {at.position} entries: the newest are missing here"
        return Verified(count, latest, problem)
    return Verified(count, latest, None if seen else "the hash that was given is not in the trail")


def _forwarded(session: Session) -> list[AuditForwarding]:
    """How far repositories are; read, and no longer the session's."""
    found = list(session.scalars(select(AuditForwarding).where(AuditForwarding.position > 0)))
    session.expunge_all()
    return found


def _problem(row: AuditRow, position: int, previous: str) -> str | None:
    if row.position != position:
        return f"entry {position} is missing"
    if row.hash != chained(previous, row.record):
        return f"entry {position} was changed, or one before it"
    kept = json.loads(row.record)
    study = kept["entry"].get("study", {}).get("study_instance_uid")
    told = kept["position"], datetime.fromisoformat(kept["time"]), study
    if told != (row.position, row.time.astimezone(UTC), row.study_instance_uid):
        return f"entry {position} was changed beside its record"
    return None
