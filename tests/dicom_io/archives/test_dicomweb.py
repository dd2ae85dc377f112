from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from dicom_io.archives import dicomweb, orthanc
from dicom_io.archives.patient_identity import Verdict, identity_of, judge, reference_of
from dicom_io.errors import AssociationRejected, PeerUnreachable
from tests.objects import write_report, write_slice
from tests.orthanc import RunningOrthanc, free_port, running_orthanc
from tests.web import answering

PASSWORD = {"AuthenticationEnabled": True, "RegisteredUsers": {"ctscribe": "only in this test"}}
CREDENTIALS = ("ctscribe", "only in this test")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningOrthanc]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.fixture(scope="module")
def url(server: RunningOrthanc) -> str:
    return f"{server.url}/dicom-web"


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return write_report(tmp_path, generate_uid())


def test_what_was_stored_is_found_under_its_patient(url: str, report: Path) -> None:
    header = dcmread(report)
    dicomweb.store(report, url)
    found = dicomweb.find_instance(reference_of(header), url)
    assert judge(found, identity_of(header)) is Verdict.PROVED


def test_storing_again_changes_nothing(url: str, report: Path) -> None:
    dicomweb.store(report, url)
    dicomweb.store(report, url)
    assert dicomweb.find_instance(reference_of(dcmread(report)), url).instances == 1


def test_what_was_never_stored_is_not_found(url: str, report: Path) -> None:
    assert dicomweb.find_instance(reference_of(dcmread(report)), url).instances == 0


def test_a_report_beside_another_patients_slices_is_no_proof(url: str, tmp_path: Path) -> None:
    study = generate_uid()
    report = write_report(tmp_path, study)
    dicomweb.store(write_slice(tmp_path, study, patient_id="somebody else"), url)
    dicomweb.store(report, url)
    found = dicomweb.find_instance(reference_of(dcmread(report)), url)
    assert judge(found, identity_of(dcmread(report))) is Verdict.WRONG_IDENTITY


def test_a_service_with_password_needs_it(tmp_path: Path, report: Path) -> None:
    with running_orthanc(tmp_path / "orthanc", **PASSWORD, credentials=CREDENTIALS) as server:
        url = f"{server.url}/dicom-web"
        with pytest.raises(AssociationRejected, match="401"):
            dicomweb.store(report, url)
        dicomweb.store(report, url, credentials=CREDENTIALS)
        orthanc.check(server.url, credentials=CREDENTIALS)
        dicomweb.check(url, credentials=CREDENTIALS)


def test_nobody_listening_is_worth_a_retry(report: Path) -> None:
    with pytest.raises(PeerUnreachable, match="ConnectError"):
        dicomweb.store(report, f"http://127.0.0.1:{free_port()}/dicom-web")


def test_a_failed_instance_in_the_response_is_a_rejection(report: Path) -> None:
    item = {"00081197": {"vr": "US", "Value": [0xA900]}}
    body = {"00081198": {"vr": "SQ", "Value": [item]}}
    with (
        answering(lambda _: httpx.Response(202, json=body)) as url,
        pytest.raises(AssociationRejected, match="0xA900"),
    ):
        dicomweb.store(report, url)


def test_an_instance_refused_for_want_of_resources_is_worth_a_retry(report: Path) -> None:
    item = {"00081197": {"vr": "US", "Value": [0xA700]}}
    body = {"00081198": {"vr": "SQ", "Value": [item]}}
    with (
        answering(lambda _: httpx.Response(202, json=body)) as url,
        pytest.raises(PeerUnreachable, match="0xA700"),
    ):
        dicomweb.store(report, url)


def test_a_conflict_is_a_rejection_and_does_not_repeat_the_answer(report: Path) -> None:
    with (
        answering(lambda _: httpx.Response(409, text="Müller")) as url,
        pytest.raises(AssociationRejected) as raised,
    ):
        dicomweb.store(report, url)
    assert "Müller" not in str(raised.value)


def test_a_web_page_instead_of_dicom_json_is_a_rejection(report: Path) -> None:
    with (
        answering(lambda _: httpx.Response(200, text="<html>login</html>")) as url,
        pytest.raises(AssociationRejected, match="DICOM JSON"),
    ):
        dicomweb.find_instance(reference_of(dcmread(report)), url)
