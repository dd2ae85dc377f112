"""Drafts in the form that an archive takes, at a real Orthanc and at archives that take less."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    EncapsulatedPDFStorage,
    SecondaryCaptureImageStorage,
)
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from sqlalchemy import select

from dicom_io.archives.dicomweb import Dicomweb
from dicom_io.archives.dimse import Dimse
from dicom_io.archives.orthanc import Orthanc
from dicom_io.archives.patients.identity import identity_of
from dicom_io.archives.proving.proof import InstanceReference, Verdict, judge
from dicom_io.errors import AssociationRejected, SopClassRefused
from plugin.delivery.formed import tell_form
from plugin.endpoints import formed
from plugin.state.database import SessionFactory
from plugin.state.tables import Draft, Event, Job, Study
from reporting.objects.sr import build_sr
from tests.orthanc import RunningOrthanc, running_orthanc
from tests.reporting.studies import ct_header, draft_of

CLASSES = {
    "text-sr": BasicTextSRStorage,
    "pdf": EncapsulatedPDFStorage,
    "image": SecondaryCaptureImageStorage,
}
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "draft.dcm"
    build_sr(draft_of(), [ct_header()]).save_as(path, enforce_file_format=True)
    return path


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningOrthanc]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


class Narrow:
    """An archive that takes some classes only."""

    def __init__(self, *classes: UID, status: int = 0x0000) -> None:
        self.classes = classes
        self.status = status
        self.held: list[Dataset] = []

    @contextmanager
    def listening(self) -> Iterator[Dimse]:
        ae = AE("NARROW")
        for one in (Verification, *self.classes):
            ae.add_supported_context(one)
        server = ae.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)]
        )
        try:
            yield Dimse("127.0.0.1", server.server_address[1], "NARROW")
        finally:
            server.shutdown()

    def _store(self, event: evt.Event) -> int:
        self.held.append(event.dataset)
        return self.status


@pytest.mark.parametrize("form", CLASSES)
@pytest.mark.parametrize("kind", ["dimse", "dicomweb", "orthanc"])
def test_every_form_is_kept_and_found_again_at_every_kind_of_archive(
    orthanc: RunningOrthanc, report: Path, form: str, kind: str
) -> None:
    archive = {
        "dimse": Dimse("127.0.0.1", orthanc.dicom_port, "ORTHANC"),
        "dicomweb": Dicomweb(f"{orthanc.url}/dicom-web"),
        "orthanc": Orthanc(orthanc.url),
    }[kind]
    target, header = formed(archive, (form,)), dcmread(report)
    reference, identity = InstanceReference.of(header), identity_of(header)
    assert judge(target.find(reference), identity) is Verdict.MISSING
    for _ in range(2):
        target.store(report)
    assert judge(target.find(reference), identity) is Verdict.PROVED
    orthanc.clear()


def test_the_next_form_is_sent_where_a_class_is_not_taken_and_that_is_told(report: Path) -> None:
    told: list[tuple[str, str]] = []
    archive = Narrow(BasicTextSRStorage)
    with archive.listening() as dimse:
        formed(dimse, ("enhanced-sr", "text-sr"), lambda *what: told.append(what)).store(report)
    assert [one.SOPClassUID for one in archive.held] == [BasicTextSRStorage]
    uid = dcmread(report).SOPInstanceUID
    assert told == [(uid, "text-sr, for it does not take enhanced-sr")]


def test_the_first_form_needs_no_word(report: Path) -> None:
    told: list[tuple[str, str]] = []
    archive = Narrow(BasicTextSRStorage, EncapsulatedPDFStorage)
    with archive.listening() as dimse:
        formed(dimse, ("pdf", "text-sr"), lambda *what: told.append(what)).store(report)
    assert [one.SOPClassUID for one in archive.held] == [EncapsulatedPDFStorage]
    assert told == []


def test_an_archive_that_takes_no_form_refuses(report: Path) -> None:
    with Narrow().listening() as dimse, pytest.raises(SopClassRefused, match="Basic Text SR"):
        formed(dimse, ("enhanced-sr", "text-sr")).store(report)


def test_another_refusal_is_no_reason_for_another_form(report: Path) -> None:
    archive = Narrow(BasicTextSRStorage, EncapsulatedPDFStorage, status=0xA900)
    with archive.listening() as dimse, pytest.raises(AssociationRejected):
        formed(dimse, ("text-sr", "pdf")).store(report)
    assert [one.SOPClassUID for one in archive.held] == [BasicTextSRStorage]


def test_the_report_itself_needs_nothing_around_the_archive() -> None:
    archive = Orthanc("http://127.0.0.1:1")
    assert formed(archive, ("enhanced-sr",)) is archive


def test_the_timeline_says_it_once(sessions: SessionFactory) -> None:
    now = datetime.now(UTC)
    with sessions.begin() as session:
        study = Study(study_instance_uid="1.2", first_received_at=now, last_received_at=now)
        job = Job(study=study, revision=1, deadline=now, hard_deadline=now, not_before=now)
        job.created_at = now
        session.add(
            Draft(
                study=study,
                job=job,
                revision=1,
                state="complete",
                sop_instance_uid="1.2.3",
                series_instance_uid="1.2.3.4",
                path="drafts/1.2.3.dcm",
                selected_digest="0" * 64,
                created_at=now,
            )
        )
    for _ in range(2):
        tell_form(sessions, "pacs", "1.2.3", "text-sr, for it does not take enhanced-sr")
    tell_form(sessions, "pacs", "unknown", "pdf")
    with sessions() as session:
        (told,) = session.scalars(select(Event.message))
    assert told == "draft 1: pacs gets it as text-sr, for it does not take enhanced-sr"
