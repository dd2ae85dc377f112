from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import EnhancedSRStorage, generate_uid

from dicom_io.archives.dicomweb import Dicomweb
from dicom_io.archives.http import Bearer
from dicom_io.archives.orthanc import Orthanc
from dicom_io.archives.patients.identity import identity_of
from dicom_io.archives.proving.proof import InstanceReference, Verdict, judge
from dicom_io.errors import AssociationRejected, NotRetrieved, PeerUnreachable
from tests.ct import ct_slice
from tests.objects import write_report, write_slice
from tests.orthanc import RunningOrthanc, running_orthanc
from tests.ports import free_port
from tests.web import answering

PASSWORD = {"AuthenticationEnabled": True, "RegisteredUsers": {"ctscribe": "only in this test"}}
CREDENTIALS = ("ctscribe", "only in this test")
STUDY = "1.2.826.0.1.3680043.8.498.6"
SERIES = f"{STUDY}.1"
JSON = {"Content-Type": "application/dicom+json"}
Answer = Callable[[str], httpx.Response]


@pytest.fixture
def url(orthanc: RunningOrthanc) -> str:
    return f"{orthanc.url}/dicom-web"


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return write_report(tmp_path, generate_uid())


def test_what_was_stored_is_found_under_its_patient(url: str, report: Path) -> None:
    header = dcmread(report)
    Dicomweb(url).store(report)
    found = Dicomweb(url).find(InstanceReference.of(header))
    assert judge(found, identity_of(header)) is Verdict.PROVED


def test_storing_again_changes_nothing(url: str, report: Path) -> None:
    Dicomweb(url).store(report)
    Dicomweb(url).store(report)
    assert Dicomweb(url).find(InstanceReference.of(dcmread(report))).instances == 1


def test_what_was_never_stored_is_not_found(url: str, report: Path) -> None:
    assert Dicomweb(url).find(InstanceReference.of(dcmread(report))).instances == 0


def test_a_report_beside_another_patients_slices_is_no_proof(url: str, tmp_path: Path) -> None:
    study = generate_uid()
    report = write_report(tmp_path, study)
    Dicomweb(url).store(write_slice(tmp_path, study, patient_id="18", patient_name="Else^Somebody"))
    Dicomweb(url).store(report)
    found = Dicomweb(url).find(InstanceReference.of(dcmread(report)))
    assert judge(found, identity_of(dcmread(report))) is Verdict.OTHER_PATIENT


def test_a_service_with_password_needs_it(tmp_path: Path, report: Path) -> None:
    with running_orthanc(tmp_path / "orthanc", **PASSWORD, credentials=CREDENTIALS) as server:
        url = f"{server.url}/dicom-web"
        with pytest.raises(AssociationRejected, match="401"):
            Dicomweb(url).store(report)
        Dicomweb(url, CREDENTIALS).store(report)
        Orthanc(server.url, CREDENTIALS).check()
        Dicomweb(url, CREDENTIALS).check()


def test_nobody_listening_is_worth_a_retry(report: Path) -> None:
    with pytest.raises(PeerUnreachable, match="ConnectError"):
        Dicomweb(f"http://127.0.0.1:{free_port()}/dicom-web").store(report)


def test_a_failed_instance_in_the_response_is_a_rejection(report: Path) -> None:
    item = {"00081197": {"vr": "US", "Value": [0xA900]}}
    body = {"00081198": {"vr": "SQ", "Value": [item]}}
    with (
        answering(lambda _: httpx.Response(202, json=body)) as url,
        pytest.raises(AssociationRejected, match="0xA900"),
    ):
        Dicomweb(url).store(report)


def test_an_instance_refused_for_want_of_resources_is_worth_a_retry(report: Path) -> None:
    item = {"00081197": {"vr": "US", "Value": [0xA700]}}
    body = {"00081198": {"vr": "SQ", "Value": [item]}}
    with (
        answering(lambda _: httpx.Response(202, json=body)) as url,
        pytest.raises(PeerUnreachable, match="0xA700"),
    ):
        Dicomweb(url).store(report)


@pytest.mark.parametrize("status", [200, 409])
def test_an_unclear_answer_to_a_store_is_left_to_a_look(report: Path, status: int) -> None:
    with answering(lambda _: httpx.Response(status, text="exists")) as url:
        Dicomweb(url).store(report)


def test_a_conflict_that_names_its_reason_is_a_refusal(report: Path) -> None:
    reason = {"00081197": {"vr": "US", "Value": [0xA900]}}
    body = {"00081198": {"vr": "SQ", "Value": [reason]}}
    with (
        answering(lambda _: httpx.Response(409, json=body)) as url,
        pytest.raises(AssociationRejected, match="0xA900"),
    ):
        Dicomweb(url).store(report)


def test_a_refusal_does_not_repeat_the_answer(report: Path) -> None:
    with (
        answering(lambda _: httpx.Response(400, text="Müller")) as url,
        pytest.raises(AssociationRejected) as raised,
    ):
        Dicomweb(url).store(report)
    assert "Müller" not in str(raised.value)


def test_a_service_that_refuses_the_user_says_so_before_anything_is_sent() -> None:
    with (
        answering(lambda _: httpx.Response(403)) as url,
        pytest.raises(AssociationRejected, match="403"),
    ):
        Dicomweb(url).takes(EnhancedSRStorage)
    with answering(lambda _: httpx.Response(400)) as url:
        assert Dicomweb(url).takes(EnhancedSRStorage) == {EnhancedSRStorage}


def test_a_web_page_instead_of_dicom_json_is_a_rejection(report: Path) -> None:
    with (
        answering(lambda _: httpx.Response(200, text="<html>login</html>")) as url,
        pytest.raises(AssociationRejected, match="DICOM JSON"),
    ):
        Dicomweb(url).find(InstanceReference.of(dcmread(report)))


def encoded(number: int) -> bytes:
    named = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES}
    image = ct_slice(
        np.zeros((8, 8)), (0, 0, number), number=number, SOPInstanceUID=generate_uid(), **named
    )
    buffer = BytesIO()
    image.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def multipart(*parts: bytes) -> httpx.Response:
    head = b"Content-Type: application/dicom\r\n\r\n"
    body = b"".join(b"--b\r\n" + head + part + b"\r\n" for part in parts) + b"--b--\r\n"
    kind = 'multipart/related; type="application/dicom"; boundary=b'
    return httpx.Response(200, content=body, headers={"Content-Type": kind})


def serving(series: httpx.Response, held: int | None = None, modality: str = "CT") -> Answer:
    """A server of one series that says it holds `held` images."""
    answer = Dataset()
    answer.Modality, answer.SeriesInstanceUID = modality, SERIES
    if held is not None:
        answer.NumberOfSeriesRelatedInstances = held
    listed = f"[{answer.to_json()}]"

    def answered(request: str) -> httpx.Response:
        if "/series?" in request:
            return httpx.Response(200, text=listed, headers=JSON)
        return series

    return answered


def test_the_images_of_a_series_are_kept_under_numbers(tmp_path: Path) -> None:
    with answering(serving(multipart(encoded(1), encoded(2)), 2)) as url:
        Dicomweb(url).fetch(STUDY, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000.dcm", "000001.dcm"]
    assert dcmread(tmp_path / "000001.dcm").InstanceNumber == 2


def test_series_of_other_modalities_stay_where_they_are(tmp_path: Path) -> None:
    with answering(serving(multipart(encoded(1)), 1, modality="PR")) as url:
        Dicomweb(url).fetch(STUDY, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("series", "why"),
    [
        (multipart(encoded(1)), "1 of 2 instances"),
        (multipart(encoded(1), b"no object"), "is no object"),
        (httpx.Response(404), "404"),
        (httpx.Response(200, text="<html>"), "not multipart"),
    ],
)
def test_less_than_the_server_says_is_not_retrieved(
    tmp_path: Path, series: httpx.Response, why: str
) -> None:
    with answering(serving(series, 2)) as url, pytest.raises(NotRetrieved, match=why):
        Dicomweb(url).fetch(STUDY, tmp_path)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(500), PeerUnreachable),
        (httpx.Response(401), AssociationRejected),
        (httpx.Response(403), AssociationRejected),
        (httpx.Response(200, text="<html>"), AssociationRejected),
    ],
)
def test_a_refusal_is_told_from_a_fault(answer: httpx.Response, error: type[Exception]) -> None:
    with answering(lambda _: answer) as url, pytest.raises(error):
        Dicomweb(url).search("20240101-20240102", "CT")


def test_a_server_that_takes_no_notice_of_the_offset_is_asked_twice() -> None:
    asked: list[str] = []
    study = Dataset()
    study.StudyInstanceUID, study.PatientID = STUDY, "P1"

    def answer(request: str) -> httpx.Response:
        asked.append(request.rpartition("offset=")[2])
        return httpx.Response(200, text=f"[{study.to_json()}]", headers=JSON)

    with answering(answer) as url:
        found = Dicomweb(url).search("", "CT")
    assert ([one.StudyInstanceUID for one in found], asked) == ([STUDY], ["0", "1"])


def test_a_token_is_sent_and_not_shown() -> None:
    server = Dicomweb("http://127.0.0.1:1", Bearer("secret"))
    with server._client() as client:
        assert isinstance(client.auth, Bearer)
        sent = next(client.auth.auth_flow(httpx.Request("GET", server.url)))
    assert sent.headers["Authorization"] == "Bearer secret"
    assert "secret" not in repr(server)
