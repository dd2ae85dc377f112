"""Keeping and deleting: what is old, or takes too much of the disk, goes; the oldest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Select, func, select, text
from sqlalchemy.orm import Session

from dicom_io.counted import counted
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.kinds import Kind
from plugin.state.tables import Event, Level, Quarantine, Study, Verdict
from plugin.state.timeline import add_event
from plugin.upkeep.keeping.audit_cut import Part, cut, due_part
from plugin.upkeep.keeping.candidates import HAS_IMAGES, kept_back, uncounted
from plugin.upkeep.keeping.limits import Disk, Limit, Limits
from plugin.upkeep.keeping.removal import RULES, count_images, finish_removals, remove

ORPHANS = "orphans"
AUDIT = "audit"
# Of one rule in one turn: choosing them keeps nobody waiting, and the next turn comes soon
MOST = 500


@dataclass(frozen=True)
class Doomed:
    """Something to be deleted.

    Parameters
    ----------
    rule : str
        One of `RULES`, orphans, or audit.
    target : int, Path or Part
        A row, a file that no row names, or entries of the audit trail.
    size : int
        Bytes on the disk.
    why : str
        The setting, for a person.
    """

    rule: str
    target: int | Path | Part
    size: int
    why: str


@dataclass(frozen=True)
class _Candidate:
    target: int | Path
    size: int
    since: datetime


def prune(
    sessions: SessionFactory,
    spool: Spool,
    limits: Limits,
    now: datetime,
    measure: Callable[[Path], Disk] = Disk.of,
) -> list[Doomed]:
    """Delete what the limits say; return what was deleted.

    Parameters
    ----------
    sessions, spool
        The service's database and spool.
    limits : Limits
        What is kept.
    now : datetime
        The moment, in UTC.
    measure : callable
        Returns the disk of a folder.

    Raises
    ------
    OSError
        Some files cannot be deleted; all others are.
    """
    finish_removals(sessions, spool)
    doomed = plan(sessions, spool, limits, now, measure)
    gone = [one for one in doomed if _delete(sessions, spool, one, now)]
    finish_removals(sessions, spool)
    if len(gone) < MOST:  # else the next turn goes on
        _tell(sessions, measure(spool.root).above_high(limits) > 0, limits, now)
    return gone


def plan(
    sessions: SessionFactory,
    spool: Spool,
    limits: Limits,
    now: datetime,
    measure: Callable[[Path], Disk] = Disk.of,
) -> list[Doomed]:
    """Return what `prune` would delete, and delete nothing; see there.

    Parameters
    ----------
    sessions : SessionFactory
        The database.
    spool : Spool
        Where the files lie.
    limits : Limits
        Ages and shares.
    now : datetime
        The moment that counts as now.
    measure : callable
        Tells how full the disk of a folder is.
    """
    with sessions() as session:
        to_count = session.scalars(uncounted(now)).all()
    for study_id in to_count:
        count_images(sessions, study_id)
    disk, taken = measure(spool.root), sizes(sessions, spool)
    planned: list[Doomed] = []
    for rule in (*RULES, ORPHANS):
        limit: Limit = getattr(limits, rule)
        marked = disk.above_high(limits) if rule == "images" else 0
        shared = disk.above_share(limit, taken.get(rule, 0))
        any_age = bool(marked or shared)
        if not any_age and limit.age is None:
            continue
        before = now if any_age or limit.age is None else now - limit.age
        found = _candidates(sessions, spool, rule, now, before)
        planned += _chosen(rule, found, limit, shared, marked, limits, now)
    with sessions() as session:
        part = due_part(session, limits, now)
    if part is not None and limits.audit.age is not None:
        why = f"audit_days = {limits.audit.age / timedelta(days=1):g}"
        planned.append(Doomed(AUDIT, part, part.size, why))
    return planned


def sizes(sessions: SessionFactory, spool: Spool) -> dict[str, int]:
    """Return the bytes that the things of each rule take, deletable or not."""
    useless = Quarantine.verdict.in_((Verdict.SAME, Verdict.REPLACED))
    with sessions() as session:
        images = session.scalar(select(func.sum(Study.image_bytes)).where(HAS_IMAGES)) or 0
        copies = session.scalars(select(Quarantine.path).where(Quarantine.path != "", useless))
        copied = [spool.absolute(path) for path in copies]
        rows = _database_bytes(session)
    return {
        "images": int(images),
        "drafts": sum(map(_size, spool.drafts.iterdir())),
        "quarantine": sum(map(_size, copied)),
        "rows": rows,
        ORPHANS: sum(map(_size, spool.damaged.iterdir())),
    }


def kept(session: Session, now: datetime) -> dict[str, tuple[int, int]]:
    """Return how many studies keep their images whatever their age, and bytes, by the reason."""
    size = func.coalesce(func.sum(Study.image_bytes), 0)
    counted: Select[Any, Any] = select(func.count(Study.id), size)
    found = {why: session.execute(counted.where(one)).one() for why, one in kept_back(now).items()}
    return {why: (count, int(size)) for why, (count, size) in found.items()}


def _candidates(
    sessions: SessionFactory, spool: Spool, rule: str, now: datetime, before: datetime
) -> Sequence[_Candidate]:
    if rule == ORPHANS:
        return _orphans(spool)
    with sessions() as session:
        rows = session.execute(RULES[rule].choose(now, before).limit(MOST)).all()
        each = _database_bytes(session) // _studies(session) if rule == "rows" else 0
    return [
        _Candidate(
            id_, each or (_size(spool.absolute(size)) if isinstance(size, str) else size), at
        )
        for id_, size, at in rows
    ]


def _chosen(
    rule: str,
    candidates: Sequence[_Candidate],
    limit: Limit,
    above_share: int,
    above_mark: int,
    limits: Limits,
    now: datetime,
) -> Iterator[Doomed]:
    """Go through candidates, the oldest first, until none is too old and enough is freed."""
    freed = 0
    for one in candidates:
        if limit.age is not None and one.since <= now - limit.age:
            why = f"{rule}_days = {limit.age / timedelta(days=1):g}"
        elif freed < above_share:
            why = f"{rule}_percent = {100 * limit.share:g}"
        elif freed < above_mark:
            why = f"high_percent = {100 * limits.high:g}"
        else:
            return
        freed += one.size
        yield Doomed(rule, one.target, one.size, why)


def _studies(session: Session) -> int:
    return session.scalar(select(func.count(Study.id))) or 1


def _database_bytes(session: Session) -> int:
    """Return what rows take of the spool's disk; PostgreSQL has a disk of its own."""
    if session.connection().dialect.name != "sqlite":
        return 0
    pages, unused, size = (
        session.scalar(text(f"PRAGMA {name}")) or 0
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - unused) * size)


def _orphans(spool: Spool) -> list[_Candidate]:
    """Return the damaged files, which no row names, the oldest first."""
    found = [(path, path.lstat()) for path in spool.damaged.iterdir() if not path.is_dir()]
    aged = [
        _Candidate(path, one.st_size, datetime.fromtimestamp(one.st_mtime, UTC))
        for path, one in found
    ]
    return sorted(aged, key=lambda one: one.since)


def _delete(sessions: SessionFactory, spool: Spool, one: Doomed, now: datetime) -> bool:
    if isinstance(one.target, Part):
        return cut(sessions, spool.root, one.target, one.why, now)
    if isinstance(one.target, Path):
        one.target.unlink(missing_ok=True)
        return True
    return remove(sessions, RULES[one.rule], one.target, one.why, now)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0


def _tell(sessions: SessionFactory, above: bool, limits: Limits, now: datetime) -> None:
    """Say once that nothing more may be deleted although the disk fills, and once that it is over.

    Without a study: what is said of the service.
    """
    of_disk = Event.study_id.is_(None), Event.kind.in_((Kind.DISK_FILLING, Kind.DISK_EASED))
    latest = select(Event.kind).where(*of_disk).order_by(Event.id.desc()).limit(1)
    with sessions.begin() as session:
        add, last = partial(add_event, session, now=now), session.scalar(latest)
        if above and last != Kind.DISK_FILLING:
            reasons = [
                f"{counted(n, 'study', 'studies')} {why}"
                for why, (n, _) in kept(session, now).items()
                if n
            ]
            because = f": {', '.join(reasons)}" if reasons else ""
            message = (
                f"the spool's disk is more than {100 * limits.high:g} % full, or near its floor, "
                f"and no more images may be deleted{because}"
            )
            add(Kind.DISK_FILLING, message, level=Level.ALERT)
        if not above and last == Kind.DISK_FILLING:
            add(Kind.DISK_EASED, "the spool's disk has space again", level=Level.INFO)
