"""The audit trail: who saw or changed what, and what the service did with a study.

It holds patients' identities, as an audit trail must; nothing else here does. Rows are only ever
added: the database refuses to change or remove one. Each carries a hash over itself and the one
before it, so that a row that is changed or missing all the same is noticed.

An entry is part of the transaction of what it tells: both are committed, or neither. It is written
last of all in it, under a lock that is let go with the commit. So the order of positions is the
order of commits, there is no gap, and no other lock is waited for while this one is held.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import socket
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pydicom import Dataset
from pydicom.uid import EnhancedSRStorage, KeyObjectSelectionDocumentStorage
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    String,
    Text,
    bindparam,
    event,
    insert,
    literal_column,
    select,
    text,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from dicom_io.cleaned import cleaned_values
from plugin.state.columns import UID, Base, CleanText, UtcDateTime
from plugin.state.tables import Draft, Final

# Of the first entry: there is none before it
NO_HASH = "0" * 64
# PostgreSQL: who appends. The number is arbitrary, and not that of the migrations
_LOCK = 7246912
_PENDING = "audit"


class Action(StrEnum):
    """What was done."""

    STARTED = "started"
    STOPPED = "stopped"
    CONFIGURED = "configured"
    """Settings or rules were changed."""
    RECEIVING = "receiving"
    RECEIVED = "received"
    DRAFTED = "drafted"
    SENDING = "sending"
    SENT = "sent"
    RETRACTED = "retracted"
    DELETED = "deleted"
    ASKED = "asked"
    """A person asked for something to be done again."""
    VIEWED = "viewed"
    CHANGED = "changed"
    ACCEPTED = "accepted"
    LOGIN = "login"
    LOGOUT = "logout"
    TRAIL_READ = "trail read"
    TRAIL_CUT = "trail cut"
    """Old entries went to a file."""


class Outcome(IntEnum):
    """How it ended (PS3.15 A.5.1, EventOutcomeIndicator)."""

    SUCCESS = 0
    MINOR_FAILURE = 4
    SERIOUS_FAILURE = 8
    MAJOR_FAILURE = 12


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Who(_Part):
    """A person, a process, or a node of the network that takes part."""

    kind: Literal["person", "process", "node"]
    name: str
    """A user's name, a program and its process, an AE title or the name of a destination."""
    address: str = ""
    """IP address or host name."""

    def __str__(self) -> str:
        return f"{self.name} at {self.address}" if self.address else self.name


class Objects(_Part):
    """SOP Instances of one class."""

    sop_class_uid: str
    number: int
    uids: tuple[str, ...] = ()


class Subject(_Part):
    """The study that it is about."""

    study_instance_uid: str
    accession_number: str | None = None
    patient_id: str | None = None
    """Without it, the one that the study had in its latest entry."""
    objects: tuple[Objects, ...] = ()


class Entry(_Part):
    """What happened, as the trail keeps it."""

    action: Action
    who: Who
    to: Who | None = None
    """Who received, where something was transferred."""
    study: Subject | None = None
    outcome: Outcome = Outcome.SUCCESS
    detail: str = ""
    """For a person who reads the trail."""
    values: dict[str, Any] = {}
    """For programs: what holds from now on."""


class AuditRow(Base):
    """An entry, in its place in the chain."""

    __tablename__ = "audit"

    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    time: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    study_instance_uid: Mapped[str | None] = mapped_column(UID, index=True)
    # The hash is taken of these characters, so they are kept as they were written
    record: Mapped[str] = mapped_column(Text)
    hash: Mapped[str] = mapped_column(String(64))

    @property
    def entry(self) -> Entry:
        return Entry.model_validate(json.loads(self.record)["entry"])


class AuditCut(Base):
    """A cut: older entries are in a file, and the chain begins behind this hash."""

    __tablename__ = "audit_cuts"

    # Of the newest entry that it took
    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hash: Mapped[str] = mapped_column(String(64))
    # In the spool, until somebody moves it away
    file: Mapped[str] = mapped_column(Text)
    cut_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AuditForwarding(Base):
    """How far the trail has gone to an audit repository."""

    __tablename__ = "audit_forwarding"

    repository: Mapped[str] = mapped_column(String(64), primary_key=True)
    # The newest entry that it has, and its hash: should the end of the trail vanish, they tell
    position: Mapped[int] = mapped_column(BigInteger, default=0)
    hash: Mapped[str] = mapped_column(String(64), default=NO_HASH)
    not_before: Mapped[datetime] = mapped_column(UtcDateTime)
    attempts: Mapped[int] = mapped_column(default=0)
    away_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_error: Mapped[str | None] = mapped_column(CleanText)


_AUDIT = AuditRow.metadata.tables["audit"]
# Others wait while these run, so they are made once: that takes longer than to run them
_ONE: ColumnElement[int] = literal_column("1")
_LOCKED = text(f"SELECT pg_advisory_xact_lock({_LOCK})")
_NEWEST = select(_AUDIT.c.position, _AUDIT.c.hash).order_by(_AUDIT.c.position.desc()).limit(_ONE)
_LATEST = (
    select(_AUDIT.c.record)
    .where(_AUDIT.c.study_instance_uid == bindparam("study"))
    .order_by(_AUDIT.c.position.desc())
    .limit(_ONE)
)
_INSERT = insert(_AUDIT)


def this_process(part: str = "ctscribe") -> Who:
    """Name the process that calls, and its host."""
    return Who(kind="process", name=f"{part} (process {os.getpid()})", address=socket.gethostname())


def this_person() -> Who:
    """Name who is logged in at this host."""
    return Who(kind="person", name=getpass.getuser(), address=socket.gethostname())


def subject_of(header: Dataset) -> Subject:
    """Name the study, the patient and the one object of a header."""
    objects = Objects(
        sop_class_uid=str(header.SOPClassUID), number=1, uids=(str(header.SOPInstanceUID),)
    )
    return Subject(
        study_instance_uid=str(header.StudyInstanceUID),
        accession_number=str(header.get("AccessionNumber") or "") or None,
        patient_id=str(header.get("PatientID") or "") or None,
        objects=(objects,),
    )


def drafted(draft: Draft, *, note: bool = False) -> Subject:
    """Name a draft, or the note that rejects it, by its row; the trail knows the patient."""
    uids = () if note else (draft.sop_instance_uid,)
    class_uid = KeyObjectSelectionDocumentStorage if note else EnhancedSRStorage
    return Subject(
        study_instance_uid=draft.study.study_instance_uid,
        objects=(Objects(sop_class_uid=class_uid, number=1, uids=uids),),
    )


def accepted(final: Final) -> Subject:
    """Name an accepted report by its row; without objects where the site wants none."""
    uid = final.sop_instance_uid
    objects = (Objects(sop_class_uid=EnhancedSRStorage, number=1, uids=(uid,)),) if uid else ()
    return Subject(study_instance_uid=final.draft.study.study_instance_uid, objects=objects)


def record(session: Session, entry: Entry, *, now: datetime) -> None:
    """Have an entry written with the caller's transaction, as the last of it.

    Parameters
    ----------
    session : Session
        The caller's transaction; `session.begin()` or `sessions.begin()` ends it.
    entry : Entry
        What happened.
    now : datetime
        The moment, in UTC.
    """
    session.info.setdefault(_PENDING, []).append((now.astimezone(UTC), entry))


def chained(previous: str, record: str) -> str:
    """Return the hash of a record that follows the one with the hash `previous`."""
    return hashlib.sha256(f"{previous}\n{record}".encode()).hexdigest()


@event.listens_for(Session, "before_commit")
def _append(session: Session) -> None:
    pending = session.info.pop(_PENDING, ())
    if not pending:
        return
    session.flush()
    connection = session.connection()
    if connection.dialect.name == "postgresql":  # SQLite has one writer at a time
        connection.execute(_LOCKED)
    position, latest = connection.execute(_NEWEST).one_or_none() or (0, NO_HASH)
    for position, (moment, entry) in enumerate(pending, position + 1):  # noqa: B020
        entry = _identified(connection, entry)
        uid = entry.study.study_instance_uid if entry.study else None
        written = _written(position, moment, entry)
        latest = chained(latest, written)
        row = {"position": position, "time": moment, "study_instance_uid": uid}
        connection.execute(_INSERT, {**row, "record": written, "hash": latest})


@event.listens_for(Session, "after_rollback")
def _forget(session: Session) -> None:
    session.info.pop(_PENDING, None)


def _written(position: int, moment: datetime, entry: Entry) -> str:
    values = entry.model_dump(mode="json", exclude_defaults=True)
    whole = {"position": position, "time": moment.isoformat(), "entry": cleaned_values(values)}
    return json.dumps(whole, sort_keys=True, ensure_ascii=False)


def _identified(connection: Connection, entry: Entry) -> Entry:
    """Add the identity of the study's latest entry, where the caller does not know it."""
    study = entry.study
    if study is None or study.patient_id is not None:
        return entry
    before = connection.execute(_LATEST, {"study": study.study_instance_uid}).scalar()
    if before is None:
        return entry
    known = Entry.model_validate(json.loads(before)["entry"]).study
    assert known is not None
    added = {"patient_id": known.patient_id}
    if study.accession_number is None:
        added["accession_number"] = known.accession_number
    return entry.model_copy(update={"study": study.model_copy(update=added)})
