from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from dicom_io.archives import orthanc
from dicom_io.archives.patient_identity import Verdict, identity_of, judge, reference_of
from dicom_io.errors import AssociationRejected, PeerUnreachable
from tests.objects import write_report, write_slice
from tests.orthanc import RunningOrthanc, free_port, running_orthanc
from tests.web import answering


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningOrthanc]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return write_report(tmp_path, generate_uid())


def test_what_was_stored_is_found_under_its_patient(server: RunningOrthanc, report: Path) -> None:
    header = dcmread(report)
    orthanc.store(report, server.url)
    found = orthanc.find_instance(reference_of(header), server.url)
    assert judge(found, identity_of(header)) is Verdict.PROVED


def test_storing_again_changes_nothing(server: RunningOrthanc, report: Path) -> None:
    orthanc.store(report, server.url)
    orthanc.store(report, f"{server.url}/")
    assert orthanc.find_instance(reference_of(dcmread(report)), server.url).instances == 1


def test_what_was_never_stored_is_not_found(server: RunningOrthanc, report: Path) -> None:
    assert orthanc.find_instance(reference_of(dcmread(report)), server.url).instances == 0


def test_a_report_beside_another_patients_slices_is_no_proof(
    server: RunningOrthanc, tmp_path: Path
) -> None:
    study = generate_uid()
    report = write_report(tmp_path, study)
    orthanc.store(write_slice(tmp_path, study, patient_id="somebody else"), server.url)
    orthanc.store(report, server.url)
    found = orthanc.find_instance(reference_of(dcmread(report)), server.url)
    assert judge(found, identity_of(dcmread(report))) is Verdict.WRONG_IDENTITY


def test_what_is_no_dicom_file_is_a_rejection(server: RunningOrthanc, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.dcm"
    garbage.write_bytes(b"not DICOM")
    with pytest.raises(AssociationRejected, match="400"):
        orthanc.store(garbage, server.url)


def test_nobody_listening_is_worth_a_retry(report: Path) -> None:
    with pytest.raises(PeerUnreachable):
        orthanc.store(report, f"http://127.0.0.1:{free_port()}")


def test_a_filtered_instance_is_a_rejection(report: Path) -> None:
    with (
        answering(lambda _: httpx.Response(200, json={"Status": "FilteredOut"})) as url,
        pytest.raises(AssociationRejected, match="FilteredOut"),
    ):
        orthanc.store(report, url)
