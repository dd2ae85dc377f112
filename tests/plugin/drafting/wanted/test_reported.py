from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydicom import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    ComprehensiveSRStorage,
    CTImageStorage,
    EnhancedSRStorage,
    XRayRadiationDoseSRStorage,
)

from dicom_io.errors import PeerUnreachable
from plugin.drafting.wanted.reported import FinalReports, is_final
from plugin.drafting.worker import Worker
from plugin.reception import intake
from plugin.state.tables import Draft, Event
from tests.plugin.arrivals import PATIENCE, arrival
from tests.plugin.model import Model


def report(sop_class: str = EnhancedSRStorage, flag: str | None = "VERIFIED") -> Dataset:
    listed = Dataset()
    listed.SOPClassUID, listed.SOPInstanceUID = sop_class, "1.2.3"
    if flag is not None:
        listed.VerificationFlag = flag
    return listed


@pytest.mark.parametrize(
    ("reports", "final"),
    [
        ([], False),
        ([report()], True),
        ([report(BasicTextSRStorage)], True),
        ([report(flag="UNVERIFIED"), report(ComprehensiveSRStorage)], True),
        ([report(flag="UNVERIFIED")], False),
        ([report(flag=None)], False),
        ([report(XRayRadiationDoseSRStorage)], False),
        ([report(CTImageStorage), Dataset()], False),
    ],
)
def test_a_final_report_is_a_text_that_somebody_verified(reports, final):
    assert is_final(reports) is final


class Archive:
    """Lists one verified report, or does not answer."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def reports(self, study_instance_uid: str) -> list[Dataset]:
        if self.error:
            raise self.error
        return [report()]


@pytest.fixture
def worker(sessions, spool):
    def worker(error: Exception | None = None, **other) -> Worker:
        asked = FinalReports(sessions, "pacs", Archive(error)).found
        return Worker(sessions, spool, Model().report, {}, reported=asked, **other)

    return worker


@pytest.fixture
def arrive(sessions):
    def arrive(*, redraft: bool = False) -> None:
        then = datetime.now(UTC) - timedelta(hours=1)
        with sessions.begin() as session:
            one = replace(arrival(), redraft=redraft)
            intake.record(session, [one], patience=PATIENCE, now=then)

    return arrive


def test_a_study_that_is_reported_gets_no_draft(worker, arrive, rows):
    arrive()
    worker().work_once()
    assert rows(Draft) == []
    told = rows(Event)[-1]
    assert (told.level, told.message) == (
        "info",
        "no draft: pacs held a final report of the study",
    )


def test_it_gets_one_that_says_so_if_the_settings_want_that_or_somebody_asks(worker, arrive, rows):
    for redraft, drop in ((False, False), (True, True)):
        arrive(redraft=redraft)
        marking = worker(drop_reported=drop)
        marking.work_once()
        (said,) = marking.make_report.__self__.calls[-1]["remarks"]
        assert said == "When this draft was written, pacs held a final report of the study."
    assert len(rows(Draft)) == 2


def test_an_archive_that_does_not_answer_delays_no_draft(worker, arrive, rows):
    arrive()
    worker(PeerUnreachable("no answer")).work_once()
    assert len(rows(Draft)) == 1
    assert "could not be looked for at pacs: no answer" in str([e.message for e in rows(Event)])
