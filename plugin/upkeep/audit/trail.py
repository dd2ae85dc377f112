"""Reading the audit trail: all of it, and whether it is unbroken."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_io.counted import counted
from plugin.state.audit import NO_HASH, Action, AuditCut, AuditForwarding, AuditRow, chained

# Rows that are in memory at once
_AT_ONCE = 1000
# Between the record of an entry and its hash, in a line
_HASH = ', "hash": "'


@dataclass(frozen=True)
class Verified:
    """What a look at the whole trail found.

    Parameters
    ----------
    entries : int
        How many there are, up to the first that is wrong.
    head : str
        Hash of the newest of them: whoever writes it down can prove later that nothing before it
        was changed.
    problem : str, optional
        What is wrong.
    cut : int
        How many of them went from the database to files.
    read : int
        How many were read in these files.
    """

    entries: int
    head: str
    problem: str | None = None
    cut: int = 0
    read: int = 0


def rows(
    session: Session,
    since: datetime | None = None,
    until: datetime | None = None,
    last: int | None = None,
) -> Iterator[AuditRow]:
    """Yield the trail in its order.

    Parameters
    ----------
    session : Session
        Of the service's database.
    since, until : datetime, optional
        The first moment that counts, and the first that does not.
    last : int, optional
        The last position that counts.
    """
    chosen = select(AuditRow).order_by(AuditRow.position).limit(_AT_ONCE)
    if since is not None:
        chosen = chosen.where(AuditRow.time >= since)
    if until is not None:
        chosen = chosen.where(AuditRow.time < until)
    if last is not None:
        chosen = chosen.where(AuditRow.position <= last)
    position = 0
    while found := session.scalars(chosen.where(AuditRow.position > position)).all():
        yield from found
        position = found[-1].position
        session.expunge_all()  # a trail of years does not fit into memory


def line_of(row: AuditRow) -> str:
    """Return an entry with its hash as a line of JSON; the characters of its record stay."""
    return f'{row.record[:-1]}{_HASH}{row.hash}"}}'


def verify(session: Session, head: str | None = None, spool: Path | None = None) -> Verified:
    """Read the whole trail, and compare it with its hashes and with what repositories have.

    Parameters
    ----------
    session : Session
        Of the service's database.
    head : str, optional
        A hash that was written down earlier: it must be in the chain.
    spool : Path, optional
        Where the files lie that older entries went to; those that are there are read.
    """
    chain, cut, read = _Chain(_forwarded(session), head), 0, 0
    try:
        cuts = session.scalars(select(AuditCut).order_by(AuditCut.position)).all()
        for one in cuts:
            read += _read_file(chain, one, spool)
            cut = one.position
        for row in rows(session):
            _read_row(chain, row)
        if cuts and chain.told.get(cut) != cuts[-1].hash:
            raise _Broken(f"no entry tells that the first {cut} were cut")
        chain.end()
    except _Broken as error:
        return Verified(chain.count, chain.latest, str(error), cut, read)
    return Verified(chain.count, chain.latest, None, cut, read)


class _Broken(Exception):
    """Why the trail is not what was written."""


class _Chain:
    """The trail as far as it was read."""

    def __init__(self, forwarded: list[AuditForwarding], head: str | None) -> None:
        self.count, self.latest = 0, NO_HASH
        self.told: dict[int, str] = {}
        """The hashes of cuts, by position, as entries tell them."""
        self._forwarded = forwarded
        self._head = head
        self._met = head is None

    def add(self, position: int, record: str, hash: str) -> dict[str, Any]:
        """Read one more entry."""
        if position != self.count + 1:
            raise _Broken(f"entry {self.count + 1} is missing")
        if hash != chained(self.latest, record):
            raise _Broken(f"entry {position} was changed, or one before it")
        kept: dict[str, Any] = json.loads(record)
        if kept["entry"]["action"] == Action.TRAIL_CUT:
            taken = kept["entry"]["values"]["cut"]
            self.told[taken["position"]] = taken["hash"]
        self.go_to(position, hash)
        return kept

    def go_to(self, position: int, hash: str) -> None:
        """Take it that the chain up to a position has a hash."""
        for at in self._forwarded:
            if at.position == position and at.hash != hash:
                raise _Broken(f"entry {position} is not the one that {at.repository} has")
        self.count, self.latest = position, hash
        self._met = self._met or hash == self._head

    def end(self) -> None:
        for at in self._forwarded:
            if at.position > self.count:
                had = f"{at.repository} has {counted(at.position, 'entry', 'entries')}"
                raise _Broken(f"{had}: the newest are missing here")
        if not self._met:
            raise _Broken("the hash that was given is not in the trail")


def _read_row(chain: _Chain, row: AuditRow) -> None:
    kept = chain.add(row.position, row.record, row.hash)
    study = kept["entry"].get("study", {}).get("study_instance_uid")
    told = kept["position"], datetime.fromisoformat(kept["time"]), study
    if told != (row.position, row.time.astimezone(UTC), row.study_instance_uid):
        raise _Broken(f"entry {row.position} was changed beside its record")


def _read_file(chain: _Chain, cut: AuditCut, spool: Path | None) -> int:
    """Read the entries of a cut; return how many, which is none where the file was moved away."""
    if spool is None or not (spool / cut.file).is_file():
        chain.go_to(cut.position, cut.hash)
        return 0
    before = chain.count
    try:
        with gzip.open(spool / cut.file, "rt", encoding="utf-8") as file:
            for line in file:
                record, _, hash = line.rstrip("\n").rpartition(_HASH)
                chain.add(chain.count + 1, f"{record}}}", hash.removesuffix('"}'))
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise _Broken(f"{cut.file} cannot be read: {error}") from error
    if (chain.count, chain.latest) != (cut.position, cut.hash):
        raise _Broken(f"{cut.file} does not end with entry {cut.position}, as it was cut")
    return chain.count - before


def _forwarded(session: Session) -> list[AuditForwarding]:
    """How far repositories are; read, and no longer the session's."""
    found = list(session.scalars(select(AuditForwarding).where(AuditForwarding.position > 0)))
    session.expunge_all()
    return found
