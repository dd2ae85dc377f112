"""A study that is sent again: real associations, a real pipeline, the database on both servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    ComprehensiveSRStorage,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)
from sqlalchemy import update

from dicom_io.errors import LeaseLost, StoreFull
from engine.fake import FakeEngine
from plugin.delivery.outbox import Outbox
from plugin.drafting import corrections, jobs
from plugin.drafting.worker import Worker
from plugin.drafting.writing.pipeline import Pipeline
from plugin.reception.receiver import running_receiver
from plugin.state.completeness import Patience
from plugin.state.files.spool import Spool
from plugin.state.tables import (
    Absent,
    Delivery,
    Draft,
    Event,
    Hold,
    Instance,
    Job,
    Level,
    Quarantine,
    Study,
)
from plugin.state.watch import Watch
from reporting.objects.render import report_text
from tests.ct import ct_stack
from tests.plugin.intake_objects import association, raw_store_begin, store
from tests.waiting import eventually

AT_ONCE = Patience(timedelta(0), timedelta(hours=1))
SLICES = 8


@pytest.fixture
def port(sessions, spool: Spool) -> Iterator[int]:
    with running_receiver(sessions, spool, patience=AT_ONCE) as port:
        yield port


@pytest.fixture
def draft(sessions, spool: Spool) -> Callable[[], None]:
    """Do what is due, as a worker does whose destinations are two archives."""
    worker = Worker(
        sessions,
        spool,
        Pipeline(FakeEngine()).make_report,
        {"strict": "dimse", "plain": "dimse"},
        rejection_notes=["strict"],
    )

    def draft() -> None:
        with sessions.begin() as session:  # associations of these tests have ended
            session.query(Hold).delete()
        while worker.work_once():
            pass

    return draft


@pytest.fixture
def sr(rows, spool: Spool) -> Callable[[], Dataset]:
    """The report object of the current draft."""

    def sr() -> Dataset:
        (current,) = [one for one in rows(Draft) if one.is_current]
        return dcmread(spool.absolute(current.path))

    return sr


@pytest.fixture
def study() -> list[Dataset]:
    rng = np.random.default_rng(0)
    hu = rng.integers(-200, 200, (SLICES, 64, 64)).astype(float)
    uids = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    return ct_stack(hu, np.diag([3.0, 1, 1, 1]), **uids, PatientID="UNKNOWN-7")


def again(slices: list[Dataset], **attributes: Any) -> list[Dataset]:
    """The same objects with other attributes."""
    copies = deepcopy(slices)
    for one in copies:
        for keyword, value in attributes.items():
            setattr(one, keyword, value)
    return copies


def mark_sent(sessions) -> None:
    with sessions.begin() as session:
        session.execute(update(Delivery).values(state="proved", sends=1))


def alerts(rows) -> list[str]:
    return [event.message for event in rows(Event) if event.level == Level.ALERT]


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless])
def test_a_lossless_recompression_is_known(port, draft, rows, study, syntax):
    store(port, *study)
    draft()
    packed = deepcopy(study)
    for one in packed:
        one.compress(syntax, generate_instance_uid=False)
    with association(port, syntaxes=(syntax,)) as assoc:
        for one in packed:
            assoc.send_c_store(one)
    draft()
    assert [one.revision for one in rows(Draft)] == [1]
    assert {row.verdict for row in rows(Quarantine)} == {"same"}
    assert alerts(rows) == []
    (told,) = [one.message for one in rows(Event) if one.kind == "compared"]
    assert told == f"{SLICES} instances came again in other bytes with the same content"


def test_another_encoding_of_the_same_text_is_known(port, draft, rows, study):
    study = again(study, SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Zoë")
    store(port, *study)
    draft()
    with association(port, syntaxes=(ImplicitVRLittleEndian,)) as assoc:
        for one in again(study, SpecificCharacterSet="ISO_IR 192", PatientName="Müller^Zoë"):
            one.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
            assoc.send_c_store(one)
    draft()
    assert len(rows(Draft)) == 1
    assert {row.verdict for row in rows(Quarantine)} == {"same"}


@pytest.mark.parametrize(
    "corrected",
    [
        {"PatientID": "4711", "PatientName": "Doe^Jane"},
        {"PatientName": "Doe^Jane"},
        {"AccessionNumber": "A2"},
        {"IssuerOfPatientID": "KH"},
    ],
)
def test_a_corrected_identity_is_drafted_anew_and_the_old_draft_is_retracted(
    port, draft, rows, study, sr, spool, sessions, corrected
):
    store(port, *study)
    draft()
    mark_sent(sessions)
    store(port, *again(study, **corrected))
    draft()
    first, second = rows(Draft)
    for keyword, value in corrected.items():
        assert sr()[keyword].value == value
    assert second.predecessor_id == first.id
    assert second.retraction_path is None
    said = "which was filed under another patient or accession number and is retracted."
    assert said in report_text(sr())
    assert "UNKNOWN-7" not in str(sr()) or "PatientID" not in corrected
    note = dcmread(spool.absolute(first.retraction_path))
    for keyword, value in corrected.items():
        assert note[keyword].value == value, "the note is filed where the archive has the study"
    (alert,) = alerts(rows)
    assert alert == (
        f"draft 1 is retracted: the study came again with another {' and '.join(corrected)}; "
        "a rejection note goes to strict; remove it by hand at plain"
    )
    notes = [one for one in rows(Delivery) if one.retracts]
    assert [(one.destination, one.draft_id, one.state) for one in notes] == [
        ("strict", first.id, "pending")
    ]
    assert Outbox(sessions, spool.root).claim("strict").path == spool.absolute(
        first.retraction_path
    )


def test_an_earlier_draft_that_was_sent_is_named_when_its_successor_is_retracted(
    port, draft, rows, study, sessions
):
    store(port, *study[:6])
    draft()
    mark_sent(sessions)
    store(port, *study[6:])
    draft()
    store(port, *again(study, AccessionNumber="A2"))
    draft()
    (alert,) = alerts(rows)
    assert alert.startswith("draft 2 is retracted")
    assert alert.endswith("; remove draft 1 by hand, too, at plain, strict")
    assert [one.revision for one in rows(Draft)] == [1, 2, 3]


def test_the_study_is_found_by_its_new_accession_number(port, draft, rows, study):
    store(port, *study)
    draft()
    store(port, *again(study, AccessionNumber="A2"))
    draft()
    assert rows(Study)[0].accession_number == "A2"


def test_a_corrected_description_makes_a_revision_and_retracts_nothing(
    port, draft, rows, study, sr
):
    store(port, *study)
    draft()
    store(port, *again(study, StudyDescription="CT Thorax"))
    draft()
    assert sr().StudyDescription == "CT Thorax"
    assert [one.retraction_path for one in rows(Draft)] == [None, None]
    assert alerts(rows) == []
    assert f"{SLICES} instances came again with other StudyDescription" in " ".join(
        event.message for event in rows(Event)
    )


def test_what_no_draft_depends_on_is_taken_over_without_a_new_draft(port, draft, rows, study):
    store(port, *study)
    draft()
    store(port, *again(study, InstitutionName="Elsewhere"))
    draft()
    assert len(rows(Draft)) == 1
    assert {row.verdict for row in rows(Quarantine)} == {"replaced"}


def test_a_repaired_slice_takes_the_place_of_the_damaged_one(port, draft, rows, study, spool):
    (damaged,) = again(study[3:4])
    damaged.PixelData = bytes(len(damaged.PixelData))
    store(port, *study[:3], damaged, *study[4:])
    draft()
    before = rows(Instance)[3]
    store(port, study[3])
    draft()
    after = rows(Instance)[3]
    (aside,) = rows(Quarantine)
    assert (aside.verdict, aside.path, aside.sha256) == ("replaced", before.path, before.sha256)
    assert dcmread(spool.absolute(after.path)).PixelData == study[3].PixelData
    assert spool.absolute(aside.path).is_file()
    assert [one.revision for one in rows(Draft)] == [1, 2]


def test_a_replaced_state_that_comes_again_changes_nothing_unless_it_is_asked_for(
    port, draft, rows, study, sr
):
    store(port, *study)
    draft()
    store(port, *again(study, PatientID="4711"))
    draft()
    store(port, *study)
    draft()
    assert sr().PatientID == "4711"
    store(port, *study, called="CTSCRIBE_AGAIN")
    draft()
    assert sr().PatientID == "UNKNOWN-7"
    assert [one.retraction_path is None for one in rows(Draft)] == [False, False, True]


def test_half_a_correction_makes_no_draft_and_leaves_none_under_the_old_patient(
    port, draft, rows, study, sr, sessions
):
    store(port, *study)
    draft()
    corrected = again(study, PatientID="4711")
    store(port, *corrected[:4])
    draft()
    assert "different patients" in rows(Job)[-1].error
    assert [one.retraction_path is None for one in rows(Draft)] == [False]
    assert {one.state for one in rows(Delivery) if not one.retracts} == {"cancelled"}
    store(port, *corrected[4:])
    draft()
    assert sr().PatientID == "4711"
    assert len([one for one in rows(Delivery) if one.retracts]) == 1


def test_two_images_under_one_uid_stay_two_and_the_draft_says_so(port, draft, rows, study):
    study[7].SOPInstanceUID = study[6].SOPInstanceUID
    study[7].file_meta.MediaStorageSOPInstanceUID = study[6].SOPInstanceUID
    store(port, *study)
    draft()
    assert [row.verdict for row in rows(Quarantine)] == ["aside"]
    said = "1 instance was set aside: the SOP Instance UID belongs to another"
    assert rows(Job)[-1].incomplete == said
    assert len(alerts(rows)) == 1


def test_that_draft_says_it_until_the_image_comes_under_a_uid_of_its_own(
    port, draft, rows, study, sr
):
    lost = deepcopy(study[7])
    study[7].SOPInstanceUID = study[6].SOPInstanceUID
    study[7].file_meta.MediaStorageSOPInstanceUID = study[6].SOPInstanceUID
    store(port, *study)
    draft()
    assert "1 instance was set aside" in report_text(sr())
    store(port, lost)
    draft()
    assert rows(Job)[-1].incomplete is None
    assert "set aside" not in report_text(sr())


def test_a_person_may_have_the_other_image_read_in_place_of_the_first(port, draft, rows, study):
    (moved,) = again(study[7:], ImagePositionPatient=[0, 0, 24])
    store(port, *study)
    store(port, moved)
    draft()
    assert [row.verdict for row in rows(Quarantine)] == ["aside"]
    store(port, moved, called="CTSCRIBE_AGAIN")
    draft()
    assert [row.verdict for row in rows(Quarantine)] == ["replaced"]


def test_a_draft_that_fails_for_what_was_set_aside_says_so(port, draft, rows, study):
    for one in study[1:5]:
        one.SOPInstanceUID = study[0].SOPInstanceUID
        one.file_meta.MediaStorageSOPInstanceUID = study[0].SOPInstanceUID
    store(port, *study)
    draft()
    said = "; 4 instances were set aside: the SOP Instance UID belongs to another"
    assert rows(Job)[-1].error.endswith(said)


def test_an_image_of_another_study_under_a_known_uid_is_set_aside(port, draft, rows, study):
    store(port, *study)
    draft()
    store(port, *again(study[:1], StudyInstanceUID=generate_uid()))
    draft()
    assert [row.verdict for row in rows(Quarantine)] == ["aside"]
    assert len(rows(Draft)) == 1
    assert rows(Job)[-1].state == "failed"


def test_a_damaged_newer_state_never_replaces_a_whole_one(port, draft, rows, study):
    store(port, *study)
    draft()
    (worse,) = again(study[:1])
    worse.compress(JPEGLSLossless, generate_instance_uid=False)
    worse.PixelData = worse.PixelData[:40] + bytes(len(worse.PixelData) - 40)
    with association(port, syntaxes=(JPEGLSLossless,)) as assoc:
        assoc.send_c_store(worse)
    draft()
    assert [row.verdict for row in rows(Quarantine)] == ["aside"]


def test_a_worker_that_lost_its_lease_changes_nothing(port, rows, study, sessions, spool):
    store(port, *study)
    store(port, *again(study, PatientID="4711"))
    with sessions.begin() as session:
        session.query(Hold).delete()
    now = datetime.now(UTC)
    claim = jobs.claim_job(sessions, Watch(AT_ONCE, -1), attempts=5, now=now)
    assert jobs.claim_job(sessions, Watch(AT_ONCE, 60), attempts=5, now=now) is not None
    with pytest.raises(LeaseLost):
        corrections.settle_corrections(sessions, spool, claim, rejection_notes=[], now=now)
    assert {row.verdict for row in rows(Quarantine)} == {"waiting"}


def test_a_correction_that_was_settled_by_a_killed_worker_is_drafted_by_the_next(
    port, draft, rows, study, sr, sessions, spool
):
    store(port, *study)
    draft()
    store(port, *again(study, StudyDescription="CT Thorax"))
    with sessions.begin() as session:
        session.query(Hold).delete()
    now = datetime.now(UTC)
    killed = jobs.claim_job(sessions, Watch(AT_ONCE, -1), attempts=5, now=now)
    corrections.settle_corrections(sessions, spool, killed, rejection_notes=[], now=now)
    draft()
    assert sr().StudyDescription == "CT Thorax"


def test_no_draft_is_sent_while_a_correction_of_its_study_waits(
    port, draft, study, sessions, spool
):
    store(port, *study)
    draft()
    outbox = Outbox(sessions, spool.root)
    store(port, *again(study, PatientID="4711"))
    assert outbox.claim("plain") is None
    draft()
    sent = outbox.claim("plain")
    assert dcmread(sent.path).PatientID == "4711"
    assert outbox.claim("plain") is None


def test_a_corrected_study_has_no_draft_where_its_new_identity_cannot_be_read(
    port, draft, rows, study, sessions, spool
):
    store(port, *study)
    draft()
    store(port, *again(study, SpecificCharacterSet="ISO_IR 100", PatientName="M\x81ller"))
    draft()
    assert "PatientName holds control" in rows(Job)[-1].error
    (one,) = rows(Draft)
    note = dcmread(spool.absolute(one.retraction_path))
    assert note.PatientName == "Test^Torso", "filed as the report was"
    assert rows(Study)[0].state == "failed"


@pytest.mark.parametrize(
    "attributes",
    [{"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, {"Modality": "MR"}, {"Modality": "PT"}],
)
def test_localizers_and_other_modalities_alone_are_no_alert(port, draft, rows, study, attributes):
    store(port, *again(study[:2], **attributes))
    draft()
    told = rows(Event)[-1]
    assert (told.kind, told.level) == ("failed", Level.INFO)
    assert told.message.startswith("no draft: ")


def test_too_few_slices_are_an_alert(port, draft, rows, study):
    store(port, *study[:2])
    draft()
    assert rows(Event)[-1].level == Level.ALERT


def test_what_was_refused_is_said_until_it_arrives(port, draft, rows, study, sr, monkeypatch):
    def full(self: Spool) -> None:
        raise StoreFull("the spool's disk has 1 MB free")

    store(port, *study[:6])
    with monkeypatch.context() as patched:
        patched.setattr(Spool, "require_space", full)
        assert store(port, *study[6:]) == [0xA700, 0xA700]
    draft()
    said = "2 instances were refused or cut off on arrival, and not sent again"
    assert rows(Job)[-1].incomplete == said
    assert said in report_text(sr())
    store(port, *study[6:])
    draft()
    assert rows(Job)[-1].incomplete is None
    assert "refused or cut off" not in report_text(sr())
    assert [one.revision for one in rows(Draft)] == [1, 2]


def test_what_an_aborted_association_cut_off_is_said(port, draft, rows, study):
    store(port, *study[:7])
    with association(port) as assoc:
        raw_store_begin(assoc, study[7])
        assoc.abort()
    assert eventually(lambda: rows(Absent))
    draft()
    said = "1 instance was refused or cut off on arrival, and not sent again"
    assert rows(Job)[-1].incomplete == said


def test_what_is_refused_after_the_draft_makes_a_new_one_that_says_so(
    port, draft, rows, study, sr, monkeypatch
):
    def full(self: Spool) -> None:
        raise StoreFull("the spool's disk has 1 MB free")

    store(port, *study[:6])
    draft()
    assert rows(Job)[-1].incomplete is None
    with monkeypatch.context() as patched:
        patched.setattr(Spool, "require_space", full)
        assert store(port, *study[6:]) == [0xA700, 0xA700]
    assert eventually(lambda: len(rows(Absent)) == 2)
    told = [event.message for event in rows(Event) if event.kind == "absent"]
    assert told == [
        "instances were refused or cut off on arrival: drafts say so until they have come"
    ]
    draft()
    assert "2 instances were refused or cut off on arrival" in report_text(sr())
    assert [(one.revision, one.state) for one in rows(Job)] == [(1, "done"), (2, "done")]


def test_a_refused_report_is_no_loss_to_a_draft(port, draft, rows, study, monkeypatch):
    def full(self: Spool) -> None:
        raise StoreFull("the spool's disk has 1 MB free")

    store(port, *study)
    draft()
    document = deepcopy(study[0])
    document.SOPClassUID, document.SOPInstanceUID = ComprehensiveSRStorage, generate_uid()
    with monkeypatch.context() as patched:
        patched.setattr(Spool, "require_space", full)
        assert store(port, document) == [0xA700]
    store(port, *study)  # the refusal before it is over
    assert (rows(Absent), len(rows(Job))) == ([], 1)
