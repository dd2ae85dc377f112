"""Prior studies in an archive, asked over HTTP; their reports as text, and nobody else's."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from pydicom import Dataset, dcmread
from sqlalchemy import select
from starlette.testclient import TestClient

from dicom_io.archives.archive import Archive as OtherArchive
from dicom_io.archives.dicomweb import Dicomweb
from dicom_io.archives.dimse import Dimse
from dicom_io.archives.orthanc import Orthanc
from dicom_io.archives.patients.identity import Person
from dicom_io.archives.patients.studies import HeldStudy, PatientStudies
from dicom_io.device import MANUFACTURER, MODEL_NAME
from dicom_io.errors import (
    AssociationRejected,
    CtscribeError,
    NotRetrieved,
    PeerUnreachable,
    SopClassRefused,
)
from plugin.state.audit import AuditRow, Who
from plugin.web.beside.archived import ArchivedPriors
from plugin.web.beside.routes import beside_router
from plugin.web.dicomweb.archive import Archive
from plugin.web.dicomweb.problems import Refused, answer_refused
from tests.objects import write_report
from tests.orthanc import RunningOrthanc
from tests.plugin.feedback.conftest import Ward
from tests.plugin.feedback.conftest import ward as ward
from tests.plugin.web.beside.structured import container, item, measured
from tests.plugin.web.reading.conftest import database_url as database_url

# As the patient of the ward is called, see `tests.ct`
OWN = {"PatientID": "P", "PatientName": "TEST^TORSO", "StudyDate": "20240304"}
PRESENT, PRIOR = "1.2.0", "1.9.7"
LIST = f"/api/studies/{PRESENT}/archived"


def write(study: str = PRIOR, text: str = "No nodule.", **changed: Any) -> Path:
    """Write a report that somebody signed, into a folder that the test's end removes."""
    path = write_report(Path(tempfile.mkdtemp()), study)
    report = dcmread(path)
    told = {**OWN, "VerificationFlag": "VERIFIED", "ContentDate": "20240305", "ContentTime": "10"}
    for keyword, value in {**told, **changed}.items():
        setattr(report, keyword, value)
    report.ContentSequence = [container("Findings", item("TEXT", "Finding", TextValue=text))]
    report.save_as(path)
    return path


class Shelf:
    """An archive that gives what a test says, or fails."""

    def __init__(self, *reports: Path, error: CtscribeError | None = None) -> None:
        self.reports, self.error, self.asked = reports, error, 0
        self.held = PatientStudies((HeldStudy(PRIOR, "20240304", "CT chest", ("CT", "SR")),), 1)

    def studies_of(self, person: Person) -> PatientStudies:
        assert person.patient_id == "P"
        self.asked += 1
        if self.error:
            raise self.error
        return self.held

    def fetch(self, study: str, folder: Path, modalities: Collection[str]) -> None:
        assert (study, *modalities) == (PRIOR, "SR")
        for number, path in enumerate(self.reports):
            (folder / str(number)).write_bytes(path.read_bytes())


@contextmanager
def asking(service: Ward, other: Any, patience_s: float = 60.0) -> Iterator[TestClient]:
    def who(_: Request) -> Who:
        return Who(kind="person", name="reader")

    app = FastAPI()
    app.add_exception_handler(Refused, answer_refused)
    elsewhere = ArchivedPriors("PACS", other, patience_s) if other else None
    archive = Archive(service.sessions, service.spool)
    app.include_router(beside_router(archive, who, (), elsewhere))
    with TestClient(app) as client:
        yield client


@pytest.fixture
def service(ward: Ward) -> Ward:
    """One study of a patient, and another one."""
    ward.arrive(0, count=1)
    ward.arrive(1, count=1)
    return ward


REAL: dict[str, Callable[[RunningOrthanc], OtherArchive]] = {
    "dimse": lambda orthanc: Dimse("127.0.0.1", orthanc.dicom_port, "ORTHANC"),
    "dicomweb": lambda orthanc: Dicomweb(f"{orthanc.url}/dicom-web"),
    "orthanc": lambda orthanc: Orthanc(orthanc.url),
}


@pytest.mark.parametrize("kind", REAL)
def test_a_real_archive_gives_the_report_of_a_prior(
    service: Ward, orthanc: RunningOrthanc, kind: str
) -> None:
    orthanc.upload(write())
    orthanc.upload(write("1.9.8", PatientBirthDate="19010101", PatientName="Roe^Richard"))
    orthanc.upload(write("1.9.9", PatientID="P2"))
    with asking(service, REAL[kind](orthanc)) as client:
        found = client.get(LIST).json()
        reports = client.get(f"{LIST}/{PRIOR}").json()["reports"]
    assert [one["study_instance_uid"] for one in found["priors"]] == [PRIOR]
    assert found["withheld"] == 1
    assert reports == [{"text": "Findings\nNo nodule.", "state": "signed", "date": "20240305"}]


def test_one_row_tells_date_and_description_and_who_saw_it_is_written_down(service: Ward) -> None:
    with asking(service, Shelf(write())) as client:
        found = client.get(LIST).json()
        client.get(f"{LIST}/{PRIOR}")
    assert (found["archive"], found["withheld"]) == ("PACS", 1)
    (prior,) = found["priors"]
    assert (prior["date"], prior["description"]) == ("20240304", "CT chest")
    assert prior["modality"] == "CT, SR"
    with service.sessions() as session:
        rows = session.scalars(
            select(AuditRow).where(AuditRow.study_instance_uid == PRIOR).order_by(AuditRow.position)
        ).all()
    assert [one.entry.detail for one in rows] == [
        "its date, beside another study",
        "its report, beside another study",
    ]
    assert all(one.entry.study and one.entry.study.patient_id == "P" for one in rows)


def test_an_archive_is_not_asked_for_each_click(service: Ward) -> None:
    shelf = Shelf(write())
    with asking(service, shelf) as client:
        for _ in range(3):
            client.get(LIST)
            client.get(f"{LIST}/{PRIOR}")
    assert shelf.asked == 1


def test_the_present_study_is_no_prior(service: Ward) -> None:
    shelf = Shelf()
    shelf.held = PatientStudies((HeldStudy(PRESENT, "20240304", "CT", ("CT",)),), 0)
    with asking(service, shelf) as client:
        assert client.get(LIST).json()["priors"] == []


def test_no_other_study_of_the_archive_can_be_read(service: Ward) -> None:
    with asking(service, Shelf(write())) as client:
        answer = client.get(f"{LIST}/1.9.8")
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (PeerUnreachable("P at 10.0.0.1"), 504, "archive-silent"),
        (AssociationRejected("P"), 502, "archive-refuses"),
        (NotRetrieved("P"), 502, "archive-unreadable"),
    ],
)
def test_an_archive_that_fails_is_told_and_received_priors_stand(
    service: Ward, error: CtscribeError, status: int, code: str
) -> None:
    with asking(service, Shelf(error=error)) as client:
        for path in (LIST, f"{LIST}/{PRIOR}"):
            answer = client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (status, code)
            assert "10.0.0.1" not in answer.text
        assert len(client.get(f"/api/studies/{PRESENT}/priors").json()["priors"]) == 1


def test_an_archive_that_gives_no_objects_still_lists_them(service: Ward) -> None:
    class NoRetrieval(Shelf):
        def fetch(self, study: str, folder: Path, modalities: Collection[str]) -> None:
            raise SopClassRefused("no C-GET")

    with asking(service, NoRetrieval()) as client:
        assert len(client.get(LIST).json()["priors"]) == 1
        answer = client.get(f"{LIST}/{PRIOR}")
    assert (answer.status_code, answer.json()["code"]) == (502, "archive-only-lists")


def test_without_an_archive_there_is_nothing(service: Ward) -> None:
    with asking(service, None) as client:
        assert client.get(LIST).json() == {"archive": None, "priors": [], "withheld": 0}
        assert client.get(f"{LIST}/{PRIOR}").status_code == 404
        assert client.get("/api/studies/1.2.99/archived").status_code == 404


def reports_of(*paths: Path) -> list[tuple[str, str]]:
    """What is told of the objects of a study, without HTTP."""
    other: Any = Shelf(*paths)
    person = Person("P", name="Doe^Jane")
    return [(one.text, one.state) for one in ArchivedPriors("PACS", other).reports(person, PRIOR)]


HERS = {"PatientName": "Doe^Jane"}


def test_reports_of_anybody_else_are_passed_over() -> None:
    hers = write(**HERS)
    others = [
        write(text="Other name.", PatientName="Roe^Richard"),
        write(text="Other number.", PatientID="P2", **HERS),
        write(text="Other issuer.", IssuerOfPatientID="ELSEWHERE", **HERS),
        write(text="Nobody's.", PatientName=""),
        write("1.9.8", "Other study.", **HERS),
    ]
    assert reports_of(*others, hers) == [("Findings\nNo nodule.", "signed")]


def test_the_latest_comes_first_and_what_was_replaced_does_not_come() -> None:
    first, second = write(text="First.", **HERS), write(text="Second.", ContentTime="11", **HERS)
    third = write(text="Third.", ContentDate="20240306", VerificationFlag="UNVERIFIED", **HERS)
    newer = dcmread(second)
    newer.PredecessorDocumentsSequence = [replacing(str(dcmread(first).SOPInstanceUID))]
    newer.save_as(second)
    assert reports_of(first, second, third) == [
        ("Findings\nThird.", "unsigned"),
        ("Findings\nSecond.", "signed"),
    ]


def replacing(uid: str) -> Dataset:
    instance, series, study = Dataset(), Dataset(), Dataset()
    instance.ReferencedSOPInstanceUID = uid
    series.ReferencedSOPSequence = [instance]
    study.ReferencedSeriesSequence = [series]
    return study


def test_our_own_drafts_are_called_drafts() -> None:
    ours = {"Manufacturer": MANUFACTURER, "ManufacturerModelName": MODEL_NAME, **HERS}
    assert [state for _, state in reports_of(write(**ours))] == ["draft"]
    accepted = write(SeriesDescription="AI-assisted report, accepted", **ours)
    assert [state for _, state in reports_of(accepted)] == ["accepted"]


def test_foreign_text_is_cleaned_and_bounded() -> None:
    ((text, _),) = reports_of(write(text="Nodule\x07\u202e.\r\nStable." + "x" * 200_000, **HERS))
    assert text.startswith("Findings\nNodule\\x07\\u202e.\nStable.")
    assert len(text) == 100_000


def test_measurements_and_codes_are_text_and_observers_are_not() -> None:
    path = write(**HERS)
    report = dcmread(path)
    observer = item("TEXT", "Person Observer", "HAS OBS CONTEXT", TextValue="Dr. Secret")
    inner = container("Lung", item("TEXT", "Finding", TextValue="Nodule."), measured("Size", "6"))
    report.ContentSequence = [observer, container("Findings", inner)]
    report.save_as(path)
    assert reports_of(path) == [("Findings\n\nLung\nNodule.\nSize: 6 mm", "signed")]


def test_what_cannot_be_read_is_one_clear_error(service: Ward, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 50)
    with asking(service, Shelf(damaged)) as client:
        answer = client.get(f"{LIST}/{PRIOR}")
    assert (answer.status_code, answer.json()["code"]) == (502, "archive-unreadable")
