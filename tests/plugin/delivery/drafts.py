"""Drafts in a real database, an outbox on it, and an archive that does what a test says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_io.archives.patients.identity import identity_of
from dicom_io.archives.proving.proof import Found, InstanceReference
from plugin.delivery.delivery import deliver_to
from plugin.delivery.destinations import CLAIM_S, Destination
from plugin.delivery.outbox import Due, Outbox
from plugin.state.database import SessionFactory
from plugin.state.kept.beside import paths_beside
from plugin.state.kept.commitments import Commitment
from plugin.state.tables import Delivery, Draft, Event, Job, JobState, Study
from tests.objects import write_report


class Clock:
    """The test's time."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self, _session: Session | None = None) -> datetime:
        return self.time

    def pass_by(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@dataclass
class Shelf:
    """An archive in memory that does what the test says."""

    send_error: Exception | None = None
    find_error: Exception | None = None
    hidden: bool = False
    sent: list[Path] = field(default_factory=list)

    def store(self, *paths: Path) -> None:
        if self.send_error is not None:
            raise self.send_error
        self.sent.extend(paths)

    def find(self, reference: InstanceReference) -> Found:
        if self.find_error is not None:
            raise self.find_error
        headers = [dcmread(path) for path in self.sent]
        held = [one for one in headers if one.SOPInstanceUID == reference.sop_instance_uid]
        if self.hidden or not held:
            return Found(0, frozenset())
        return Found(1, frozenset({identity_of(held[0])}))

    def count(self, study_instance_uid: str) -> Mapping[str, int]:
        raise AssertionError("delivery does not count")

    def search(self, dates: str, modality: str) -> list[Dataset]:
        raise AssertionError("delivery does not search")

    def fetch(self, study_instance_uid: str, folder: Path) -> None:
        raise AssertionError("delivery does not fetch")

    def check(self) -> None:
        """Always there."""

    def named(self, name: str = "shelf") -> Destination:
        return Destination(name, self)


class CountedOutbox(Outbox):
    """Knows how many attempts were begun."""

    attempts = 0

    def claim(self, destination: str, claim_s: float = CLAIM_S) -> Due | None:
        due = super().claim(destination, claim_s)
        self.attempts += due is not None
        return due


class Service:
    """A database with drafts, and the outbox on it."""

    def __init__(self, sessions: SessionFactory, spool: Path) -> None:
        self.sessions = sessions
        self.spool = spool
        self.clock = Clock()
        self.outbox = CountedOutbox(sessions, spool, self.clock)

    def draft(self, *destinations: str, study: str | None = None, revision: int = 1) -> str:
        """Write a draft due at every destination; the newest of a study is the current one."""
        study = study or generate_uid()
        path = write_report(self.spool / "drafts", study)
        header = dcmread(path)
        with self.sessions.begin() as session:
            row = session.scalar(select(Study).where(Study.study_instance_uid == study))
            row = row or Study(
                study_instance_uid=study,
                first_received_at=self.clock(),
                last_received_at=self.clock(),
            )
            for older in row.drafts:
                older.is_current = False
            session.add(row)
            session.flush()
            job = Job(
                study=row,
                revision=revision,
                state=JobState.DONE,
                deadline=self.clock(),
                hard_deadline=self.clock(),
                not_before=self.clock(),
                created_at=self.clock(),
            )
            draft = Draft(
                study=row,
                job=job,
                revision=revision,
                state="complete",
                sop_instance_uid=header.SOPInstanceUID,
                series_instance_uid=header.SeriesInstanceUID,
                path=str(path.relative_to(self.spool)),
                selected_digest="0" * 64,
                created_at=self.clock(),
            )
            draft.deliveries = [
                Delivery(destination=name, kind="test", not_before=self.clock())
                for name in destinations
            ]
            session.add(draft)
        return study

    def put_beside(self, study: str) -> Dataset:
        """Put an object beside a study's draft; returns it."""
        with self.sessions() as session:
            uid = session.scalar(
                select(Draft.sop_instance_uid)
                .join(Study)
                .where(Study.study_instance_uid == study, Draft.is_current)
            )
            path = (
                self.spool
                / session.scalars(select(Draft.path).where(Draft.sop_instance_uid == uid)).one()
            )
        beside = dcmread(path)
        name = self.spool / paths_beside(str(uid))[0]
        beside.SOPInstanceUID = beside.file_meta.MediaStorageSOPInstanceUID = name.stem
        beside.SeriesInstanceUID = generate_uid()
        beside.save_as(name, enforce_file_format=True)
        return beside

    def deliver(self, *destinations: Destination) -> int:
        """Make every attempt that is due, as the service's threads do; returns how many."""
        before = self.outbox.attempts
        for one in destinations:
            deliver_to(self.outbox, one)
        return self.outbox.attempts - before

    def deliveries(self) -> list[Delivery]:
        with self.sessions() as session:
            return list(session.scalars(select(Delivery).order_by(Delivery.id)))

    def states(self) -> list[str]:
        return [delivery.state for delivery in self.deliveries()]

    def committed(self) -> list[bool | None]:
        with self.sessions() as session:
            return list(session.scalars(select(Commitment.committed).order_by(Commitment.id)))

    def events(self) -> list[Event]:
        with self.sessions() as session:
            return list(session.scalars(select(Event).order_by(Event.id)))
