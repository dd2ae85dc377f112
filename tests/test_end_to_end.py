"""The whole house: DCMTK sends a real study, `ctscribe serve` drafts, a real Orthanc keeps."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydicom import Dataset, dcmread
from pydicom.uid import EnhancedSRStorage, generate_uid

from dicom_io.archives.dimse import Dimse
from dicom_io.errors import CtscribeError
from plugin.cli import main
from tests.orthanc import RunningOrthanc, running_orthanc
from tests.ports import free_port
from tests.services import require
from tests.waiting import eventually

STORESCU = Path("/usr/bin/storescu")
CTSCRIBE = Path(sys.executable).parent / "ctscribe"
DRAFT_S = 240
SETTINGS = """
[receiver]
port = {receiver}
[completeness]
quiet_s = 4.0
[storage]
spool = "spool"
floor_mb = 1
[engine]
model = "embedded"
[worker]
poll_s = 0.5
[[destinations]]
name = "dimse"
kind = "dimse"
host = "127.0.0.1"
port = {dicom}
ae_title = "ORTHANC"
[[destinations]]
name = "dicomweb"
kind = "dicomweb"
url = "{url}/dicom-web"
[[destinations]]
name = "rest"
kind = "orthanc"
url = "{url}"
"""

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("house")


@pytest.fixture(scope="module")
def receiver() -> int:
    return free_port()


@pytest.fixture(scope="module")
def orthanc(folder: Path, receiver: int) -> Iterator[RunningOrthanc]:
    modalities = {
        "ctscribe": ["CTSCRIBE", "127.0.0.1", receiver],
        "ctscribe-again": ["CTSCRIBE_AGAIN", "127.0.0.1", receiver],
    }
    with running_orthanc(folder / "orthanc", python=True, DicomModalities=modalities) as running:
        yield running


@pytest.fixture(scope="module")
def configuration(folder: Path, receiver: int, orthanc: RunningOrthanc) -> Path:
    path = folder / "ctscribe.toml"
    path.write_text(SETTINGS.format(receiver=receiver, dicom=orthanc.dicom_port, url=orthanc.url))
    return path


@pytest.fixture(scope="module")
def service(configuration: Path, receiver: int) -> Iterator[None]:
    """The service, the same for all tests: each sends a study of its own."""
    log_path = configuration.parent / "ctscribe.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen([CTSCRIBE, "serve", "-c", configuration], stdout=log, stderr=log)
    try:
        eventually(lambda: answers(receiver), DRAFT_S)
        yield
        assert process.poll() is None, log_path.read_text()
    finally:
        process.terminate()
        process.wait(timeout=60)


def answers(port: int) -> bool:
    try:
        Dimse("127.0.0.1", port, "CTSCRIBE", "TEST").check()
    except CtscribeError:
        return False
    return True


def send(folder: Path, port: int, called: str) -> None:
    require(STORESCU.is_file(), "DCMTK's storescu")
    subprocess.run(
        [STORESCU, "-aec", called, "+sd", "+r", "127.0.0.1", str(port), folder],
        check=True,
        env={**os.environ, "TCP_NODELAY": "1"},
        timeout=120,
    )


@pytest.fixture
def study(cases: Path, tmp_path: Path) -> Path:
    """The study's three series, mixed in one folder, under UIDs that no other test has."""
    folder = tmp_path / "study"
    folder.mkdir()
    files = (path for path in (cases / "philips_head").rglob("*") if path.is_file())
    for number, path in enumerate(sorted(files, key=lambda path: path.name)):
        dataset = dcmread(path)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            seed = [str(tmp_path), str(dataset[keyword].value)]
            setattr(dataset, keyword, generate_uid(entropy_srcs=seed))
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(folder / f"{number:04}.dcm")
    return folder


def header(study: Path) -> Dataset:
    return dcmread(next(study.iterdir()), stop_before_pixels=True)


def reports(orthanc: RunningOrthanc, uid: str) -> list[Any]:
    return list(orthanc.get(f"/dicom-web/studies/{uid}/instances?00080060=SR"))


def proved(configuration: Path, uid: str, count: int = 3) -> bool:
    shown = CliRunner().invoke(main, ["status", uid, "-c", str(configuration)])
    return shown.stdout.count("and proved") >= count


def check_draft(orthanc: RunningOrthanc, study: Path) -> None:
    """One draft under the study and patient of the CT, and QIDO shows both modalities."""
    source = header(study)
    uid = str(source.StudyInstanceUID)
    (found,) = reports(orthanc, uid)
    assert found["00080016"]["Value"] == [EnhancedSRStorage]
    (listed,) = orthanc.get(f"/dicom-web/studies?StudyInstanceUID={uid}")
    assert sorted(listed["00080061"]["Value"]) == ["CT", "SR"]
    (identifier,) = (
        instance["ID"]
        for instance in orthanc.get("/instances?expand")
        if instance["MainDicomTags"]["SOPInstanceUID"] == found["00080018"]["Value"][0]
    )
    tags = orthanc.get(f"/instances/{identifier}/simplified-tags")
    assert tags["PatientID"] == source.PatientID
    assert tags["PatientName"] == str(source.PatientName)
    assert "AI DRAFT" in tags["SeriesDescription"]


@pytest.mark.usefixtures("service")
def test_a_study_sent_to_the_assistant_and_the_archive_gets_one_draft(
    study: Path, receiver: int, orthanc: RunningOrthanc, configuration: Path
) -> None:
    send(study, receiver, "CTSCRIBE")
    send(study, orthanc.dicom_port, "ORTHANC")
    uid = str(header(study).StudyInstanceUID)
    eventually(lambda: proved(configuration, uid), DRAFT_S)
    check_draft(orthanc, study)


@pytest.mark.usefixtures("service")
def test_a_study_sent_to_orthanc_is_routed_drafted_and_drafted_again_on_request(
    study: Path, orthanc: RunningOrthanc, configuration: Path
) -> None:
    send(study, orthanc.dicom_port, "ORTHANC")
    uid = str(header(study).StudyInstanceUID)
    eventually(lambda: proved(configuration, uid), DRAFT_S)
    check_draft(orthanc, study)
    wanted = {"Level": "Study", "Query": {"StudyInstanceUID": uid}}
    (identifier,) = orthanc.post("/tools/find", json=wanted)
    orthanc.post(f"/ctscribe/studies/{identifier}/draft")
    eventually(lambda: len(reports(orthanc, uid)) == 2, DRAFT_S)
    series = {report["0020000E"]["Value"][0] for report in reports(orthanc, uid)}
    assert len(series) == 2
