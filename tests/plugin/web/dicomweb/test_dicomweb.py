"""DICOMweb as a client that none of us wrote sees it."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import httpx
import numpy as np
import pytest
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import JPEG2000Lossless, RLELossless
from sqlalchemy import select

from plugin.state.audit import Action, AuditRow, Entry
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.tables import Absent, Hold, Instance, Job, Quarantine
from plugin.web.dicomweb import metadata
from tests.objects import write_report
from tests.plugin.conftest import DATABASES
from tests.plugin.intake_objects import make_slice, new_uid
from tests.waiting import eventually

Rows = Callable[[Any], list[Any]]
DICOM = 'multipart/related; type="application/dicom"'


def body(*files: bytes) -> tuple[bytes, dict[str, str]]:
    """A request's body with some files, and its header."""
    parts = b"".join(
        b"--b0123\r\nContent-Type: application/dicom\r\n\r\n" + f + b"\r\n" for f in files
    )
    return parts + b"--b0123--\r\n", {"Content-Type": f"{DICOM}; boundary=b0123"}


def file_of(dataset: Dataset) -> bytes:
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def ct(study: str, number: int = 1, series: str | None = None) -> Dataset:
    """A CT slice of 4 × 4 pixels, a ramp from -8 to 7 HU."""
    image = make_slice(study, series=series, number=number)
    image.ImagePositionPatient, image.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
    image.PixelSpacing, image.SliceThickness = [1, 1], 1
    image.RescaleSlope, image.RescaleIntercept = 1, 0
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.StudyDate, image.StudyDescription = "20260131", "Thorax"
    image.PixelData = np.arange(-8, 8, dtype="<i2").tobytes()
    return image


@pytest.fixture
def study(client: DICOMwebClient) -> str:
    """A study of two series, three slices and a report."""
    uid = new_uid()
    first = new_uid()
    client.store_instances([ct(uid, 1, first), ct(uid, 2, first), ct(uid, 1)])
    return uid


@pytest.mark.parametrize("database_url", DATABASES, indirect=True)
def test_what_is_stored_is_found_at_every_level(client: DICOMwebClient, study: str) -> None:
    (found,) = client.search_for_studies(search_filters={"StudyInstanceUID": study})
    assert found["00080061"]["Value"] == ["CT"]
    assert found["00201206"]["Value"] == [2]
    assert found["00201208"]["Value"] == [3]
    assert found["00081030"]["Value"] == ["Thorax"]
    series = client.search_for_series(study)
    assert sorted(one["00201209"]["Value"][0] for one in series) == [1, 2]
    larger = max(series, key=lambda one: one["00201209"]["Value"])["0020000E"]["Value"][0]
    instances = client.search_for_instances(study, larger)
    assert sorted(one["00200013"]["Value"][0] for one in instances) == [1, 2]
    assert instances[0]["00280010"]["Value"] == [4]


FILTERS = (
    ("PatientName", "müller*", 1),
    ("PatientName", "Meier*", 0),
    ("PatientName", "山田*", 1),
    ("StudyDate", "20260101-20260131", 1),
    ("StudyDate", "20260201-", 0),
    ("AccessionNumber", "ACC-1", 1),
    ("AccessionNumber", "ACC-?", 1),
    ("AccessionNumber", "[A]CC-1", 0),
    ("ModalitiesInStudy", "CT", 1),
    ("ModalitiesInStudy", "MR", 0),
    ("PatientID", "*17", 1),
    ("StudyInstanceUID", "1.2.3", 0),
)


@pytest.mark.usefixtures("study")
def test_filters(client: DICOMwebClient) -> None:
    for keyword, value, number in FILTERS:
        found = client.search_for_studies(search_filters={keyword: value})
        assert len(found) == number, (keyword, value)


def test_pages_and_fields(client: DICOMwebClient, url: str, study: str) -> None:
    client.store_instances([ct(new_uid())])
    pages = [client.search_for_studies(limit=1, offset=k) for k in range(3)]
    assert [len(page) for page in pages] == [1, 1, 0]
    assert pages[0] != pages[1]
    (found,) = client.search_for_studies(
        limit=1, fields=["PatientWeight"], search_filters={"StudyInstanceUID": study}
    )
    assert found["00101030"] == {"vr": "DS"}
    answer = httpx.get(f"{url}/studies?limit=1&fuzzymatching=true")
    assert "fuzzymatching" in answer.headers["Warning"]


def test_metadata_is_the_header_and_is_kept(
    client: DICOMwebClient, study: str, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, *_) = found = client.retrieve_study_metadata(study)
    assert len(found) == 3
    header = Dataset.from_json(first, bulk_data_uri_handler=lambda _: None)
    assert header.PatientName.family_name == "Müller"
    assert header.Rows == 4
    assert first["00083002"]["Value"] == ["1.2.840.10008.1.2.1"]
    assert first["7FE00010"]["BulkDataURI"].endswith("/bulkdata/7FE00010")
    # Of two slices it was kept; of one it takes no time
    assert len(list((spool.root / "instances" / study).glob("*.json"))) == 1
    monkeypatch.setattr(metadata, "read_instance", lambda _: pytest.fail("read again"))
    series = next(s for s in map(_series_of, found) if sum(_series_of(f) == s for f in found) == 2)
    assert len(client.retrieve_series_metadata(study, series)) == 2


def _series_of(attributes: dict[str, Any]) -> str:
    return str(attributes["0020000E"]["Value"][0])


def test_objects_come_back_as_they_were_sent(client: DICOMwebClient) -> None:
    sent = ct(new_uid())
    client.store_instances([sent])
    (got,) = client.retrieve_study(sent.StudyInstanceUID)
    assert got == sent
    uids = sent.StudyInstanceUID, sent.SeriesInstanceUID, sent.SOPInstanceUID
    assert client.retrieve_instance(*uids) == sent


@pytest.mark.parametrize(
    ("syntax", "kind"),
    [
        (JPEG2000Lossless, "image/jp2"),
        (RLELossless, "image/dicom-rle"),
    ],
)
def test_frames_are_sent_as_they_are_stored(
    client: DICOMwebClient, url: str, syntax: str, kind: str
) -> None:
    sent = compressed(syntax)
    client.store_instances([sent])
    uids = sent.StudyInstanceUID, sent.SeriesInstanceUID, sent.SOPInstanceUID
    frames = f"{url}/studies/{uids[0]}/series/{uids[1]}/instances/{uids[2]}/frames/1"
    any_syntax = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
    answer = httpx.get(frames, headers={"Accept": any_syntax})
    assert f"{kind}; transfer-syntax={syntax}".encode() in answer.content
    (item,) = generate_frames(sent.PixelData, number_of_frames=1)
    assert item.rstrip(b"\0") in answer.content
    plain = client.retrieve_instance_frames(
        *uids, [1], media_types=(("application/octet-stream", "1.2.840.10008.1.2.1"),)
    )
    assert plain == [np.arange(64 * 64, dtype="<i2").tobytes()]


def compressed(syntax: str) -> Dataset:
    """A slice of 64 × 64 pixels in a transfer syntax."""
    image = ct(new_uid())
    image.Rows = image.Columns = 64
    image.PixelData = np.arange(64 * 64, dtype="<i2").tobytes()
    image.compress(syntax, generate_instance_uid=False)
    return image


def test_frames_of_plain_pixels(client: DICOMwebClient, study: str) -> None:
    one = client.search_for_instances(study)[0]
    uids = (study, _series_of(one), one["00080018"]["Value"][0])
    assert client.retrieve_instance_frames(*uids, [1]) == [np.arange(-8, 8, dtype="<i2").tobytes()]


def test_rendered_with_a_window(url: str, study: str, client: DICOMwebClient) -> None:
    one = client.search_for_instances(study)[0]
    at = f"{url}/studies/{study}/series/{_series_of(one)}/instances/{one['00080018']['Value'][0]}"
    got = httpx.get(f"{at}/rendered?window=0,16,linear-exact", headers={"Accept": "image/png"})
    values = np.asarray(Image.open(BytesIO(got.content)))
    expected = np.round(255 * (np.arange(-8, 8) / 16 + 0.5)).reshape(4, 4)
    assert np.array_equal(values, expected)
    assert httpx.get(f"{at}/thumbnail").headers["Content-Type"] == "image/jpeg"
    assert httpx.get(f"{at}/frames/2/rendered").status_code == 404
    assert httpx.get(f"{at}/rendered?window=a").status_code == 400
    assert httpx.get(f"{at}/rendered", headers={"Accept": "video/mp4"}).status_code == 406


def test_a_report_is_not_rendered(url: str, client: DICOMwebClient, tmp_path: Any) -> None:
    report = dcmread(write_report(tmp_path, new_uid()))
    client.store_instances([report])
    at = f"{url}/studies/{report.StudyInstanceUID}"
    assert httpx.get(f"{at}/thumbnail").json()["code"] == "not-rendered"
    assert httpx.get(f"{at}/metadata").json()[0]["0040A040"]["Value"] == ["CONTAINER"]


@pytest.mark.parametrize("database_url", DATABASES, indirect=True)
def test_stored_as_by_an_association(
    client: DICOMwebClient, rows: Rows, spool: Spool, sessions: SessionFactory
) -> None:
    sent = ct(new_uid())
    answer = client.store_instances([sent])
    assert answer.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == sent.SOPInstanceUID
    (kept,) = rows(Instance)
    assert dcmread(spool.absolute(kept.path)) == sent
    assert len(rows(Job)) == 1
    assert eventually(lambda: not rows(Hold))
    actions = [entry.action for entry in audited(sessions)]
    assert actions[:2] == [Action.RECEIVING, Action.RECEIVED]


def audited(sessions: SessionFactory) -> list[Entry]:
    with sessions() as session:
        return [row.entry for row in session.scalars(select(AuditRow).order_by(AuditRow.position))]


def test_each_instance_has_its_own_answer(url: str, rows: Rows) -> None:
    good, other = ct(new_uid()), ct(new_uid())
    odd = ct(good.StudyInstanceUID)
    odd.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"
    cut = file_of(ct(good.StudyInstanceUID))[:-20]
    content, headers = body(file_of(good), file_of(other), _with_syntax(odd), cut, b"no DICOM" * 30)
    got = httpx.post(f"{url}/studies/{good.StudyInstanceUID}", content=content, headers=headers)
    assert got.status_code == 202
    answer = got.json()
    assert len(answer["00081199"]["Value"]) == 1
    reasons = [one["00081197"]["Value"][0] for one in answer["00081198"]["Value"]]
    assert reasons == [0xA900, 0xC122, 0xC000]
    assert [one["00081197"]["Value"] for one in answer["0008119A"]["Value"]] == [[0xC000]]
    assert [one.sop_instance_uid for one in rows(Instance)] == [good.SOPInstanceUID]
    assert {one.sop_instance_uid for one in rows(Absent)} >= {other.SOPInstanceUID}


def _with_syntax(dataset: Dataset) -> bytes:
    """A file that names a syntax in which its data set is not."""
    named = str(dataset.file_meta.TransferSyntaxUID)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    plain = file_of(dataset)
    padded = b"1.2.840.10008.1.2.1\0"
    made = plain.replace(padded, named.encode() + b"\0" * (len(named) % 2), 1)
    grown = len(made) - len(plain)
    length = int.from_bytes(made[140:144], "little") + grown
    at = made.index(b"\x02\x00\x10\x00UI") + 6
    value = (int.from_bytes(made[at : at + 2], "little") + grown).to_bytes(2, "little")
    return made[:140] + length.to_bytes(4, "little") + made[144:at] + value + made[at + 2 :]


def test_other_bytes_of_a_known_instance_are_kept_aside(
    client: DICOMwebClient, url: str, rows: Rows
) -> None:
    sent = ct(new_uid())
    client.store_instances([sent])
    sent.PatientComments = "again"
    content, headers = body(file_of(sent))
    got = httpx.post(f"{url}/studies", content=content, headers=headers)
    assert got.status_code == 202
    assert got.json()["00081199"]["Value"][0]["00081196"]["Value"] == [0xB000]
    assert len(rows(Quarantine)) == 1


def test_a_full_disk_refuses(client: DICOMwebClient, url: str, spool: Spool, rows: Rows) -> None:
    spool.floor_bytes = 2**62
    content, headers = body(file_of(ct(new_uid())))
    got = httpx.post(f"{url}/studies", content=content, headers=headers)
    assert got.status_code == 409
    assert got.json()["00081198"]["Value"][0]["00081197"]["Value"] == [0xA700]
    assert rows(Instance) == []


def test_a_body_that_ends_early_says_what_is_stored(url: str, rows: Rows) -> None:
    content, headers = body(file_of(ct(new_uid())), file_of(ct(new_uid())))
    got = httpx.post(f"{url}/studies", content=content[:-60], headers=headers)
    assert got.status_code == 400
    assert got.json()["error"].endswith("1 instance is stored")
    assert len(rows(Instance)) == 1


BAD = (
    ("GET", "/studies?PatientNam=x", 400),
    ("GET", "/studies?limit=-1", 400),
    ("GET", "/studies/1.2.3/metadata", 404),
    ("GET", "/studies/..%2F..%2Fetc/metadata", 404),
    ("GET", "/studies/1.2.3/series/1/instances/2/frames/1", 404),
    ("POST", "/studies", 415),
)


def test_bad_requests(url: str) -> None:
    for method, path, status in BAD:
        assert httpx.request(method, f"{url}{path}").status_code == status, path


def test_every_request_is_authorised(url: str, study: str, client: DICOMwebClient) -> None:
    one = client.search_for_instances(study)[0]
    at = f"/studies/{study}/series/{_series_of(one)}/instances/{one['00080018']['Value'][0]}"
    nobody = {"Authorization": "Bearer nobody"}
    for path in ("/studies", at, f"{at}/metadata", f"{at}/frames/1", f"{at}/rendered"):
        assert httpx.get(f"{url}{path}", headers=nobody).status_code == 401, path
    assert httpx.post(f"{url}/studies", headers=nobody).status_code == 401


def test_a_view_is_an_audit_event(
    client: DICOMwebClient, study: str, sessions: SessionFactory
) -> None:
    client.retrieve_study_metadata(study)
    client.retrieve_study_metadata(study)
    (view,) = [entry for entry in audited(sessions) if entry.action == Action.VIEWED]
    assert view.study is not None
    assert (view.study.study_instance_uid, view.who.name) == (study, "reader")
