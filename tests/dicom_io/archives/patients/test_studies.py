"""The studies of one patient, asked of a real archive by each protocol, and of hostile ones."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
)

from dicom_io.archives.archive import Archive
from dicom_io.archives.association import identifier
from dicom_io.archives.dicomweb import Dicomweb
from dicom_io.archives.dimse import Dimse
from dicom_io.archives.orthanc import Orthanc
from dicom_io.archives.patients.identity import Person
from dicom_io.archives.patients.studies import MOST, patient_keys, read_answers, read_told
from dicom_io.errors import DicomError, PeerUnreachable
from tests.objects import PATIENT_NAME, write_report, write_slice
from tests.orthanc import RunningOrthanc
from tests.ports import free_port
from tests.web import answering

BORN = "19500102"
# Orthanc 1.10 finds no number beyond ASCII by DICOMweb
ZOE = Person("17", "CITY", PATIENT_NAME, BORN)
KINDS: dict[str, Callable[[RunningOrthanc], Archive]] = {
    "dimse": lambda orthanc: Dimse("127.0.0.1", orthanc.dicom_port, "ORTHANC"),
    "dicomweb": lambda orthanc: Dicomweb(f"{orthanc.url}/dicom-web"),
    "orthanc": lambda orthanc: Orthanc(orthanc.url),
}


def keep(orthanc: RunningOrthanc, study: str, **changed: str) -> None:
    """Put a slice and a report of a study into the archive; Zoe's, unless changed."""
    with tempfile.TemporaryDirectory() as folder:
        for path in (write_slice(Path(folder), study), write_report(Path(folder), study)):
            header = dcmread(path)
            header.PatientID, header.IssuerOfPatientID = "17", "CITY"
            header.PatientBirthDate = BORN
            header.StudyDate, header.StudyDescription = "20250102", "Thorax, Müller"
            for keyword, value in changed.items():
                setattr(header, keyword, value)
            header.save_as(path)
            orthanc.upload(path)


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_studies_of_the_patient_are_told(orthanc: RunningOrthanc, kind: str) -> None:
    hers, others = generate_uid(), [generate_uid() for _ in range(4)]
    keep(orthanc, hers)
    keep(orthanc, others[0], PatientName="Roe^Richard")
    keep(orthanc, others[1], IssuerOfPatientID="ELSEWHERE")
    keep(orthanc, others[2], PatientBirthDate="19800102")
    keep(orthanc, others[3], PatientID="170")
    found = KINDS[kind](orthanc).studies_of(ZOE)
    (study,) = found.held
    assert study.study_instance_uid == hers
    assert (study.date, study.description) == ("20250102", "Thorax, Müller")
    assert sorted(study.modalities) == ["CT", "SR"]
    # Issuers are asked for, so that only another name or birth date comes back
    assert found.withheld == 2


@pytest.mark.parametrize("kind", KINDS)
def test_reports_alone_are_fetched(orthanc: RunningOrthanc, kind: str, tmp_path: Path) -> None:
    study = generate_uid()
    keep(orthanc, study)
    KINDS[kind](orthanc).fetch(study, tmp_path, ("SR",))
    assert [dcmread(path).Modality for path in tmp_path.iterdir()] == ["SR"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_study_without_reports_gives_none(
    orthanc: RunningOrthanc, kind: str, tmp_path: Path
) -> None:
    study = generate_uid()
    orthanc.upload(write_slice(tmp_path, study))
    folder = tmp_path / "empty"
    folder.mkdir()
    KINDS[kind](orthanc).fetch(study, folder, ("SR",))
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("number", ["", "*", "1?", "1\\2", "1\x00", "1\n2", "7" * 65])
def test_a_number_that_means_others_too_is_never_asked_for(number: str) -> None:
    with pytest.raises(DicomError) as raised:
        patient_keys(Person(number))
    assert not number or number not in str(raised.value)
    # Nobody listens there: nobody is asked
    for archive in (Dimse("127.0.0.1", 1, "A"), Dicomweb("http://127.0.0.1:1"), Orthanc("h")):
        with pytest.raises(DicomError):
            archive.studies_of(Person(number))
    with pytest.raises(DicomError):
        patient_keys(Person("1", issuer="*"))


def test_nobody_there() -> None:
    port = free_port()
    for archive in (
        Dimse("127.0.0.1", port, "A"),
        Dicomweb(f"http://127.0.0.1:{port}"),
        Orthanc(f"http://127.0.0.1:{port}"),
    ):
        with pytest.raises(PeerUnreachable):
            archive.studies_of(ZOE)


def answer(**changed: Any) -> Dataset:
    told = {"PatientID": "7", "PatientName": "Doe^Jane", "StudyInstanceUID": "1.2"}
    return identifier("STUDY", SpecificCharacterSet="ISO_IR 192", **{**told, **changed})


def test_an_archive_that_never_ends_is_left() -> None:
    def endless(_: Any) -> Iterator[tuple[int, Dataset]]:
        for number in range(10 * MOST):
            yield 0xFF00, answer(StudyInstanceUID=f"1.2.{number}")

    ae = AE("ARCHIVE")
    ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    handlers: list[Any] = [(evt.EVT_C_FIND, endless)]
    server: Any = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        found = Dimse("127.0.0.1", server.server_address[1], "ARCHIVE").studies_of(Person("7"))
    finally:
        server.shutdown()
    assert len(found.held) == MOST


def test_a_server_that_takes_no_notice_of_the_limit_is_cut() -> None:
    told = [answer(StudyInstanceUID=f"1.2.{n}").to_json_dict() for n in range(MOST + 1)]
    with answering(lambda _: httpx.Response(200, json=told)) as url:
        assert len(Dicomweb(url).studies_of(Person("7")).held) == MOST


def test_an_archive_that_answers_with_everybody_shows_nobody_else() -> None:
    answers = [answer(), answer(PatientID="8"), answer(PatientID="", StudyInstanceUID="1.3")]
    found = read_answers(Person("7", name="DOE^JANE"), answers)
    assert [one.study_instance_uid for one in found.held] == ["1.2"]
    assert found.withheld == 2


def test_a_number_alone_is_not_enough() -> None:
    nameless = {"PatientID": "7", "StudyInstanceUID": "1.2"}
    born = {**nameless, "PatientBirthDate": BORN}
    assert read_told(Person("7", name="Doe^Jane"), [nameless]).withheld == 1
    assert read_told(Person("7", name="Doe^Jane"), [born]).withheld == 1
    assert read_told(Person("7", name="Doe^Jane", birth_date=BORN), [born]).withheld == 0
    # Of a patient whose name nobody told us, no name can be wrong
    assert read_told(Person("7"), [nameless]).withheld == 0


@pytest.mark.parametrize("uid", ["", "../../7", "1.2/series", "1" * 65, "1.2\n"])
def test_what_is_no_uid_is_never_shown(uid: str) -> None:
    told = {"PatientID": "7", "PatientName": "Doe^Jane", "StudyInstanceUID": uid}
    assert read_told(Person("7", name="Doe^Jane"), [told]).held == ()


def test_foreign_text_is_cleaned() -> None:
    hostile = answer(StudyDescription="CT\x1b[2J\u202etxet", ModalitiesInStudy=["CT", "SR"])
    told = {k: str(hostile.get(k, "")) for k in ("PatientID", "PatientName", "StudyInstanceUID")}
    told["StudyDescription"] = "CT\x1b[2J\u202etxet" * 100
    (study,) = read_told(Person("7", name="Doe^Jane"), [told]).held
    assert study.description.startswith("CT\\x1b[2J\\u202etxet")
    assert len(study.description) == 200
    (study,) = read_answers(Person("7", name="Doe^Jane"), [hostile]).held
    assert (study.description, study.modalities) == ("", ("CT", "SR"))


def test_a_name_that_cannot_be_read_is_nobodys() -> None:
    garbled = answer(PatientName="Doe^Jane\x1b[2J")
    assert read_answers(Person("7", name="Doe^Jane"), [garbled]).withheld == 1
