"""The whole house: DCMTK sends a real study, `ctscribe serve` drafts, a real Orthanc keeps."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import EnhancedSRStorage

from dicom_io.archives.dimse import Dimse
from dicom_io.errors import CtscribeError
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


@pytest.fixture
def receiver() -> int:
    return free_port()


@pytest.fixture
def orthanc(tmp_path: Path, receiver: int) -> Iterator[RunningOrthanc]:
    modalities = {
        "ctscribe": ["CTSCRIBE", "127.0.0.1", receiver],
        "ctscribe-again": ["CTSCRIBE_AGAIN", "127.0.0.1", receiver],
    }
    with running_orthanc(tmp_path / "orthanc", python=True, DicomModalities=modalities) as running:
        yield running


@pytest.fixture
def configuration(tmp_path: Path, receiver: int, orthanc: RunningOrthanc) -> Path:
    path = tmp_path / "ctscribe.toml"
    path.write_text(SETTINGS.format(receiver=receiver, dicom=orthanc.dicom_port, url=orthanc.url))
    return path


@pytest.fixture
def service(configuration: Path, receiver: int) -> Iterator[None]:
    log_path = configuration.parent / "ctscribe.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen([CTSCRIBE, "serve", "-c", configuration], stdout=log, stderr=log)
    try:
        eventually(lambda: answers(receiver), 60)
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
    """The study's three series, mixed in one folder."""
    folder = tmp_path / "study"
    folder.mkdir()
    files = (path for path in (cases / "philips_head").rglob("*") if path.is_file())
    for number, path in enumerate(sorted(files, key=lambda path: path.name)):
        shutil.copy(path, folder / f"{number:04}.dcm")
    return folder


def header(study: Path) -> Dataset:
    return dcmread(next(study.iterdir()), stop_before_pixels=True)


def reports(orthanc: RunningOrthanc, uid: str) -> list[Any]:
    return list(orthanc.get(f"/dicom-web/studies/{uid}/instances?00080060=SR"))


def proved(configuration: Path, uid: str, count: int = 3) -> bool:
    shown = subprocess.run(
        [CTSCRIBE, "status", uid, "-c", configuration], capture_output=True, text=True, check=False
    )
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
    (identifier,) = orthanc.get("/studies")
    orthanc.post(f"/ctscribe/studies/{identifier}/draft")
    eventually(lambda: len(reports(orthanc, uid)) == 2, DRAFT_S)
    series = {report["0020000E"]["Value"][0] for report in reports(orthanc, uid)}
    assert len(series) == 2
