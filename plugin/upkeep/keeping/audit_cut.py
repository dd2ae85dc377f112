"""Cutting old entries off the audit trail: they go to a file, and the chain stays provable.

A cut leaves a row with the hash of the newest entry that it took, and the rest of the chain begins
there. The cut is an entry itself, and the database lets nothing go that no such row covers.
"""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import delete, exists, func, select
from sqlalchemy.orm import Session, aliased

from plugin.state import audit
from plugin.state.audit import Action, AuditCut, AuditForwarding, AuditRow, Entry, this_process
from plugin.state.database import SessionFactory, one_at_a_time
from plugin.state.files.private import make_private, make_private_file
from plugin.state.files.spool import sync_folder
from plugin.state.tables import Study
from plugin.upkeep.audit.trail import line_of, rows
from plugin.upkeep.keeping.limits import Limits

FOLDER = "audit"  # in the spool
# A cut is a file, and an entry itself: one a month is enough
_EVERY = timedelta(days=30)
# Of one cut: on SQLite nobody else writes for the second that this takes
MOST = 20_000
_AT = AuditRow.position


@dataclass(frozen=True)
class Part:
    """The oldest entries of the trail.

    Parameters
    ----------
    first, last : int
        Positions.
    size : int
        Characters of their records.
    """

    first: int
    last: int
    size: int


def due_part(session: Session, limits: Limits, now: datetime) -> Part | None:
    """Return what is to be cut: old, known to every repository, and of studies that are forgotten.

    A study of which rows are left keeps its latest entry, which knows the patient.

    Parameters
    ----------
    session : Session
        Of the service's database.
    limits : Limits
        How old entries become, and which repositories must have them.
    now : datetime
        The moment, in UTC.
    """
    if limits.audit.age is None:
        return None
    before = now - limits.audit.age
    oldest = session.scalar(select(AuditRow).order_by(_AT).limit(1))
    if oldest is None or oldest.time > before - _EVERY:
        return None
    first, newest = oldest.position, session.scalar(select(func.max(_AT))) or 0
    younger = session.scalar(select(func.min(_AT)).where(AuditRow.time >= before))
    # The newest entry stays: the next one is chained to it
    last = min(first + MOST, younger or newest, newest) - 1
    last = min([last, *_known_to(session, limits.repositories)])
    last = min(last, _needed(session, first, last) - 1)
    if last < first:
        return None
    size = select(func.sum(func.length(AuditRow.record))).where(last >= _AT)
    return Part(first, last, session.scalar(size) or 0)


def cut(sessions: SessionFactory, spool: Path, part: Part, why: str, now: datetime) -> bool:
    """Move entries into a file of the spool; False if somebody else has cut meanwhile.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    spool : Path
        Its folder.
    part : Part
        As `due_part` returns it.
    why : str
        The setting, for a person.
    now : datetime
        The moment, in UTC.
    """
    file = f"{FOLDER}/entries-{part.first:09}-{part.last:09}.jsonl.gz"
    with sessions.begin() as session:
        one_at_a_time(session)
        if session.scalar(select(func.min(_AT))) != part.first:
            return False
        last = session.get_one(AuditRow, part.last)
        _write(session, spool / file, part.last)
        taken = {"position": last.position, "hash": last.hash, "file": file}
        session.add(AuditCut(**taken, cut_at=now))
        session.flush()
        session.execute(delete(AuditRow).where(part.last >= _AT))
        detail = f"entries {part.first} to {part.last} are in {file}, by the rule {why}"
        entry = Entry(
            action=Action.TRAIL_CUT, who=this_process(), detail=detail, values={"cut": taken}
        )
        audit.record(session, entry, now=now)
    return True


def _known_to(session: Session, repositories: tuple[str, ...]) -> list[int]:
    """How far each repository is; 0 for one that has nothing yet."""
    at = AuditForwarding.position
    named = [select(at).where(AuditForwarding.repository == name) for name in repositories]
    return [session.scalar(one) or 0 for one in named]


def _needed(session: Session, first: int, last: int) -> int:
    """Return the first entry that is the latest of a study which has rows; beyond if none is."""
    later = aliased(AuditRow)
    uid = AuditRow.study_instance_uid
    latest = (
        select(func.max(_AT).label("position"))
        .where(_AT.between(first, last), exists().where(Study.study_instance_uid == uid))
        .where(~exists().where(later.study_instance_uid == uid, later.position > last))
        .group_by(uid)
        .subquery()
    )
    return session.scalar(select(func.min(latest.c.position))) or last + 1


def _write(session: Session, path: Path, last: int) -> None:
    """Write the entries up to one, as an export does, for the service's user alone."""
    make_private(path.parent)
    begun = path.with_suffix(".begun")
    make_private_file(begun)
    with begun.open("wb") as raw:
        with gzip.open(raw, "wt", encoding="utf-8") as file:
            for row in rows(session, last=last):
                file.write(f"{line_of(row)}\n")
        raw.flush()
        os.fsync(raw.fileno())
    begun.rename(path)
    sync_folder(path.parent)
