"""The archive's own number of slices is waited for, and never for ever."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dicom_io.errors import PeerUnreachable
from plugin.drafting.worker import Worker
from plugin.reception import intake
from plugin.state.completeness import ArchiveCount, Patience
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.tables import Draft, Event, Job, JobState
from plugin.state.watch import Watch
from tests.plugin.arrivals import arrival
from tests.plugin.model import Model

SERIES = "1.2.5"
QUIET, CAP = timedelta(seconds=60), timedelta(hours=2)


@dataclass
class Archive:
    """Stands for a destination's archive."""

    inventory: dict[str, int] = field(default_factory=dict)
    down: bool = False

    def count(self, study_instance_uid: str) -> Mapping[str, int]:
        if self.down:
            raise PeerUnreachable("PACS does not answer")
        return self.inventory


@pytest.fixture
def archive() -> Archive:
    return Archive()


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def worker(sessions: SessionFactory, spool: Spool, model: Model, archive: Any) -> Worker:
    missing = ArchiveCount(sessions, "pacs", archive).missing
    watch = Watch(Patience(QUIET, CAP))
    return Worker(sessions, spool, model.report, {}, missing=missing, watch=watch)


@pytest.fixture
def arrive(sessions: SessionFactory) -> Callable[..., None]:
    def arrive(number: int, ago: timedelta = timedelta(hours=1)) -> None:
        with sessions.begin() as session:
            intake.record(
                session,
                [arrival(number)],
                patience=Patience(QUIET, CAP),
                now=datetime.now(UTC) - ago,
            )

    return arrive


def messages(rows: Callable[[Any], list[Any]], kind: str) -> list[str]:
    return [event.message for event in rows(Event) if event.kind == kind]


def make_due(sessions: SessionFactory, job: Job) -> None:
    with sessions.begin() as session:
        session.merge(job).deadline = datetime.now(UTC) - timedelta(seconds=1)


def test_a_study_whose_every_slice_arrived_is_drafted(worker, arrive, archive, rows, model):
    archive.inventory = {SERIES: 2}
    arrive(1)
    arrive(2)
    worker.work_once()
    assert len(rows(Draft)) == 1
    assert model.calls[0]["incomplete"] is None


def test_a_study_waits_for_the_slices_that_the_archive_holds(worker, arrive, archive, rows):
    archive.inventory = {SERIES: 3, "1.2.6": 4}
    arrive(1)
    worker.work_once()
    (job,) = rows(Job)
    assert rows(Draft) == []
    assert (job.state, job.attempts) == (JobState.PENDING, 0)
    assert job.deadline > datetime.now(UTC) + QUIET / 2
    assert messages(rows, "missing") == ["6 of 7 CT instances at pacs have not arrived"]


def test_waiting_is_told_once_as_long_as_nothing_changes(worker, arrive, archive, rows, sessions):
    archive.inventory = {SERIES: 3}
    arrive(1)
    for _ in range(3):
        worker.work_once()
        make_due(sessions, rows(Job)[0])
    assert len(messages(rows, "missing")) == len(messages(rows, "begun")) == 1


def test_the_draft_comes_once_the_rest_has_arrived(worker, arrive, archive, rows, sessions):
    archive.inventory = {SERIES: 2}
    arrive(1)
    worker.work_once()
    arrive(2)
    make_due(sessions, rows(Job)[0])
    worker.work_once()
    assert [draft.revision for draft in rows(Draft)] == [1]


def test_at_the_cap_the_draft_says_what_is_missing(worker, arrive, archive, rows, model):
    archive.inventory = {SERIES: 5}
    arrive(1, ago=CAP + QUIET)
    worker.work_once()
    assert len(rows(Draft)) == 1
    assert model.calls[0]["incomplete"] == "4 of 5 CT instances at pacs have not arrived"


def test_what_is_waited_for_at_the_cap_is_not_taken_for_still_arriving(
    worker, arrive, archive, rows
):
    archive.inventory = {SERIES: 5}
    arrive(1, ago=CAP - QUIET / 2)
    worker.work_once()
    (job,) = rows(Job)
    assert job.deadline == job.hard_deadline


def test_an_archive_that_does_not_answer_delays_no_draft(worker, arrive, archive, rows, model):
    archive.down = True
    arrive(1)
    worker.work_once()
    assert len(rows(Draft)) == 1
    assert model.calls[0]["incomplete"] is None
    assert "PACS does not answer" in messages(rows, "not-counted")[0]
