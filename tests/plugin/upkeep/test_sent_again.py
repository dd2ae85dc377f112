"""A study whose images were deleted, and that comes again: real associations, a real pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid
from sqlalchemy import delete, update

from engine.fake import FakeEngine
from plugin.delivery.redelivery import Selection, redeliver
from plugin.drafting.worker import Worker
from plugin.drafting.writing.pipeline import Pipeline
from plugin.reception.receiver import running_receiver
from plugin.state.completeness import Patience
from plugin.state.files.spool import Spool
from plugin.state.tables import Delivery, Draft, Event, Hold, Instance, Quarantine, Study
from plugin.upkeep.keeping.limits import Limit, Limits
from plugin.upkeep.keeping.retention import prune
from reporting.objects.render import report_text
from tests.ct import ct_stack
from tests.plugin.intake_objects import store

AT_ONCE = Patience(timedelta(0), timedelta(hours=1))
SLICES = 8
LATER = timedelta(days=31)


@pytest.fixture
def port(sessions, spool: Spool) -> Iterator[int]:
    with running_receiver(sessions, spool, patience=AT_ONCE) as port:
        yield port


@pytest.fixture
def draft(sessions, spool: Spool) -> Callable[[], None]:
    """Do what is due, and have it delivered."""
    make_report = Pipeline(FakeEngine()).make_report
    worker = Worker(sessions, spool, make_report, {"pacs": "dimse"}, rejection_notes=["pacs"])

    def draft() -> None:
        with sessions.begin() as session:  # associations of these tests have ended
            session.execute(delete(Hold))
        assert worker.work_once()
        with sessions.begin() as session:
            values = {"state": "proved", "proved_at": datetime.now(UTC), "attempts": 1}
            session.execute(update(Delivery).where(Delivery.state == "pending").values(**values))

    return draft


@pytest.fixture
def pruned(sessions, spool: Spool) -> Callable[..., None]:
    def pruned(**limits: Limit) -> None:
        kept = Limits(images=Limit(timedelta(days=30)), **limits)
        assert prune(sessions, spool, kept, datetime.now(UTC) + LATER)

    return pruned


@pytest.fixture
def study(port, draft, pruned) -> list[Dataset]:
    """One that was drafted and delivered, and lost its images."""
    hu = np.random.default_rng(0).integers(-200, 200, (SLICES, 64, 64)).astype(float)
    uids = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    slices = ct_stack(hu, np.diag([3.0, 1, 1, 1]), **uids, PatientID="UNKNOWN-7")
    store(port, *slices)
    draft()
    pruned()
    return slices


def last(rows) -> str:
    return rows(Event)[-1].message


def test_a_late_slice_makes_no_draft_of_itself_and_says_why(study, port, draft, rows):
    store(port, study[0])
    draft()
    day = (datetime.now(UTC) + LATER).strftime("%Y-%m-%d")
    assert last(rows) == (
        f"no new draft: 8 images were deleted on {day} by the rule images_days = 30, and 1 came "
        "since: send the whole study again for a new draft"
    )
    assert [one.is_current for one in rows(Draft)] == [True]


def test_the_whole_study_is_a_new_arrival_and_its_draft_stands(study, port, draft, rows):
    store(port, *study)
    draft()
    assert (len(rows(Instance)), rows(Quarantine)) == (SLICES, [])
    assert last(rows) == "selection unchanged: the current draft stands"


def test_other_bytes_are_a_new_arrival_and_no_conflict(study, port, draft, rows):
    for one in study:
        one.ImageComments = "sent again"
    assert set(store(port, *study)) == {0}
    draft()
    assert (len(rows(Instance)), rows(Quarantine)) == (SLICES, [])


def test_whoever_asks_gets_a_new_draft_of_all(study, port, draft, rows, spool):
    store(port, *study, called="CTSCRIBE_AGAIN")
    draft()
    old, new = rows(Draft)
    assert (new.predecessor_id, new.is_current) == (old.id, True)
    assert "deleted" not in report_text(dcmread(spool.absolute(new.path)))


def test_whoever_asks_for_a_draft_of_some_gets_one_that_says_so(study, port, draft, rows, spool):
    store(port, *study[:6], called="CTSCRIBE_AGAIN")
    draft()
    text = report_text(dcmread(spool.absolute(rows(Draft)[-1].path)))
    assert "8 images were deleted on " in " ".join(text.split())


def test_another_patient_retracts_the_old_draft(study, port, draft, rows, spool):
    corrected = deepcopy(study)
    for one in corrected:
        one.PatientID, one.AccessionNumber = "P-1", "A2"
    store(port, *corrected)
    draft()
    old, new = rows(Draft)
    assert (old.is_current, new.is_current) == (False, True)
    assert dcmread(spool.absolute(new.path)).PatientID == "P-1"
    assert spool.absolute(old.retraction_path).is_file()
    assert [one.retracts for one in rows(Delivery)] == [False, True, False]
    assert rows(Study)[0].accession_number == "A2"


def test_a_draft_whose_file_is_gone_is_not_sent_again(study, sessions, pruned, rows):
    pruned(drafts=Limit(timedelta(days=30)))
    assert [one.path for one in rows(Draft)] == [""]
    assert (
        redeliver(sessions, Selection(draft=rows(Draft)[0].sop_instance_uid), datetime.now(UTC))
        == 0
    )
    assert [one.state for one in rows(Delivery)] == ["proved"]
