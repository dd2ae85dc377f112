"""DCMTK's archive as a peer: every verb of `Dimse` against it."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from dicom_io.archives.dimse import Dimse
from dicom_io.archives.patients.identity import identity_of
from dicom_io.archives.proving.proof import InstanceReference, Verdict, judge
from dicom_io.errors import CtscribeError
from tests.objects import write_report
from tests.ports import free_port
from tests.services import require
from tests.waiting import eventually

# One area that anybody may read and write; at most 50 studies of 1 GB
CONFIGURATION = """
NetworkTCPPort = {port}
MaxPDUSize = 16384
MaxAssociations = 16
HostTable BEGIN
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
DCMTK {folder} RW (50, 1024mb) ANY
AETable END
"""


@contextmanager
def running(folder: Path) -> Iterator[Dimse]:
    program = shutil.which("dcmqrscp")
    require(program is not None, "DCMTK's dcmqrscp")
    assert program is not None
    port = free_port()
    (folder / "objects").mkdir()
    settings = folder / "dcmqrscp.cfg"
    settings.write_text(CONFIGURATION.format(port=port, folder=folder / "objects"))
    process = subprocess.Popen(
        [program, "--config", settings], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    archive = Dimse("127.0.0.1", port, "DCMTK")
    try:
        eventually(lambda: _answers(archive))
        yield archive
    finally:
        process.terminate()
        process.wait(10)


def _answers(archive: Dimse) -> bool:
    try:
        archive.check()
    except CtscribeError:
        return False
    return True


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Dimse]:
    with running(tmp_path) as peer:
        yield peer


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return write_report(tmp_path, generate_uid())


def test_a_report_is_stored_and_proved(archive: Dimse, report: Path) -> None:
    header = dcmread(report)
    before = archive.find(InstanceReference.of(header))
    archive.store(report)
    found = archive.find(InstanceReference.of(header))
    assert before.instances == 0
    assert judge(found, identity_of(header)) is Verdict.PROVED


def test_a_report_that_came_twice_is_there_once(archive: Dimse, report: Path) -> None:
    archive.store(report)
    archive.store(report)
    assert archive.find(InstanceReference.of(dcmread(report))).instances == 1


def test_a_study_is_found_by_its_date_and_fetched(
    archive: Dimse, report: Path, tmp_path: Path
) -> None:
    header = dcmread(report)
    archive.store(report)
    studies = archive.search(header.StudyDate, "SR")
    assert [study.StudyInstanceUID for study in studies] == [header.StudyInstanceUID]
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    archive.fetch(header.StudyInstanceUID, inbox)
    (fetched,) = (dcmread(path) for path in inbox.rglob("*") if path.is_file())
    assert fetched.SOPInstanceUID == header.SOPInstanceUID


def test_it_says_which_classes_it_takes(archive: Dimse, report: Path) -> None:
    sop_class = dcmread(report).SOPClassUID
    assert archive.takes(sop_class) == {sop_class}
