from pathlib import Path

import httpx
import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from dicom_io.archives.orthanc import Orthanc
from dicom_io.archives.patients.identity import identity_of
from dicom_io.archives.proving.proof import InstanceReference, Verdict, judge
from dicom_io.errors import AssociationRejected, PeerUnreachable
from tests.objects import write_report, write_slice
from tests.orthanc import RunningOrthanc
from tests.ports import free_port
from tests.web import answering


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return write_report(tmp_path, generate_uid())


def test_what_was_stored_is_found_under_its_patient(orthanc: RunningOrthanc, report: Path) -> None:
    header = dcmread(report)
    Orthanc(orthanc.url).store(report)
    found = Orthanc(orthanc.url).find(InstanceReference.of(header))
    assert judge(found, identity_of(header)) is Verdict.PROVED


def test_storing_again_changes_nothing(orthanc: RunningOrthanc, report: Path) -> None:
    Orthanc(orthanc.url).store(report)
    Orthanc(f"{orthanc.url}/").store(report)
    assert Orthanc(orthanc.url).find(InstanceReference.of(dcmread(report))).instances == 1


def test_what_was_never_stored_is_not_found(orthanc: RunningOrthanc, report: Path) -> None:
    assert Orthanc(orthanc.url).find(InstanceReference.of(dcmread(report))).instances == 0


def test_a_report_beside_another_patients_slices_is_no_proof(
    orthanc: RunningOrthanc, tmp_path: Path
) -> None:
    study = generate_uid()
    report = write_report(tmp_path, study)
    Orthanc(orthanc.url).store(
        write_slice(tmp_path, study, patient_id="18", patient_name="Else^Somebody")
    )
    Orthanc(orthanc.url).store(report)
    found = Orthanc(orthanc.url).find(InstanceReference.of(dcmread(report)))
    assert judge(found, identity_of(dcmread(report))) is Verdict.OTHER_PATIENT


def test_what_is_no_dicom_file_is_a_rejection(orthanc: RunningOrthanc, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.dcm"
    garbage.write_bytes(b"not DICOM")
    with pytest.raises(AssociationRejected, match="400"):
        Orthanc(orthanc.url).store(garbage)


def test_nobody_listening_is_worth_a_retry(report: Path) -> None:
    with pytest.raises(PeerUnreachable):
        Orthanc(f"http://127.0.0.1:{free_port()}").store(report)


def test_a_filtered_instance_is_a_rejection(report: Path) -> None:
    with (
        answering(lambda _: httpx.Response(200, json={"Status": "FilteredOut"})) as url,
        pytest.raises(AssociationRejected, match="FilteredOut"),
    ):
        Orthanc(url).store(report)
