from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from dicom_io.archives.wado import WadoServer
from dicom_io.errors import AssociationRejected, NotRetrieved, PeerUnreachable
from tests.ct import ct_slice
from tests.web import answering

STUDY = "1.2.826.0.1.3680043.8.498.6"
SERIES = f"{STUDY}.1"
JSON = {"Content-Type": "application/dicom+json"}
Answer = Callable[[str], httpx.Response]


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
        WadoServer(url).fetch_study(STUDY, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000.dcm", "000001.dcm"]
    assert dcmread(tmp_path / "000001.dcm").InstanceNumber == 2


def test_series_of_other_modalities_stay_where_they_are(tmp_path: Path) -> None:
    with answering(serving(multipart(encoded(1)), 1, modality="PR")) as url:
        WadoServer(url).fetch_study(STUDY, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("series", "why"),
    [
        (multipart(encoded(1)), "1 of 2 instances"),
        (multipart(encoded(1), b"no object"), "is no object"),
        (httpx.Response(404), "404"),
    ],
)
def test_less_than_the_server_says_is_not_retrieved(
    tmp_path: Path, series: httpx.Response, why: str
) -> None:
    with answering(serving(series, 2)) as url, pytest.raises(NotRetrieved, match=why):
        WadoServer(url).fetch_study(STUDY, tmp_path)


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
        WadoServer(url).find_studies("20240101-20240102", "CT")


def test_a_server_that_takes_no_notice_of_the_offset_is_asked_twice() -> None:
    asked: list[str] = []
    study = Dataset()
    study.StudyInstanceUID, study.PatientID = STUDY, "P1"

    def answer(request: str) -> httpx.Response:
        asked.append(request.rpartition("offset=")[2])
        return httpx.Response(200, text=f"[{study.to_json()}]", headers=JSON)

    with answering(answer) as url:
        found = WadoServer(url).find_studies("", "CT")
    assert ([one.StudyInstanceUID for one in found], asked) == ([STUDY], ["0", "1"])


def test_a_token_is_sent_and_not_shown() -> None:
    server = WadoServer("http://127.0.0.1:1", token="secret")
    with server._client() as client:
        assert client._session.headers["Authorization"] == "Bearer secret"
    assert "secret" not in repr(server)
