"""A test report of a test patient, which a destination must take, show, and be rid of again."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from dicom_io.archives.proving.proof import STANDING, Verdict
from plugin.delivery.destinations import Destination
from plugin.delivery.proving import WRONG, look

PATIENT_ID, PATIENT_NAME = "CTSCRIBE-TEST", "TEST^CTSCRIBE"
TEXT = (
    "Findings: This is a test of ctscribe. It describes no patient. "
    "Impression: Test report, to be deleted."
)
# Somebody waits at the terminal; most archives show an object within seconds
PATIENCE_S, PAUSE_S = 30.0, 1.0


def write_test_report(folder: Path) -> tuple[Path, str]:
    """Write the report of a study that does not exist; returns its file and Study Instance UID."""
    from reporting.draft import DraftModel, make_draft
    from reporting.objects.sr import build_sr

    source = _ct_header()
    model = DraftModel("ctscribe doctor", "test", demonstration=True)
    report = build_sr(make_draft(TEXT, technique=[], model=model), [source])
    path = folder / "test.dcm"
    report.save_as(path, enforce_file_format=True)
    return path, str(source.StudyInstanceUID)


def try_out(destination: Destination, remove: Callable[[str], bool] | None) -> tuple[bool, str]:
    """Deliver a test report, look for it, and ask for its removal.

    Parameters
    ----------
    destination : Destination
        Where to.
    remove : callable, optional
        Asks the archive to remove a study, and returns whether it did.

    Returns
    -------
    (bool, str)
        Whether the report was proved, and what to tell.

    Raises
    ------
    PeerUnreachable, AssociationRejected
        The archive does not take it, or cannot be asked.
    """
    with TemporaryDirectory() as folder:
        path, study = write_test_report(Path(folder))
        destination.archive.store(path)
        verdict = _look_for(destination, path)
    told: dict[Verdict | None, str] = {
        None: "took the test report; no proof is wanted",
        Verdict.MISSING: f"took the test report, but did not show it within {PATIENCE_S:.0f} s",
        **{wrong: f"took the test report, {why}" for wrong, why in WRONG.items()},
    }
    said = told.get(verdict, "took the test report and showed it")
    if remove and remove(study):
        return verdict in (None, *STANDING), f"{said}; removed again"
    return verdict in (None, *STANDING), f"{said}; delete patient {PATIENT_ID}, study {study} there"


def _look_for(destination: Destination, path: Path) -> Verdict | None:
    end = time.monotonic() + PATIENCE_S
    while (verdict := look(destination, path)) is Verdict.MISSING and time.monotonic() < end:
        time.sleep(PAUSE_S)
    return verdict


def _ct_header() -> Dataset:
    """What the report says of its patient and study."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SpecificCharacterSet = "ISO_IR 192"
    header.SOPClassUID = CTImageStorage
    header.SOPInstanceUID, header.SeriesInstanceUID = generate_uid(), generate_uid()
    header.StudyInstanceUID = generate_uid()
    header.PatientID, header.PatientName = PATIENT_ID, PATIENT_NAME
    header.PatientBirthDate = header.PatientSex = header.AccessionNumber = ""
    now = datetime.now(UTC)
    header.StudyDate, header.StudyTime = f"{now:%Y%m%d}", f"{now:%H%M%S}"
    header.StudyID = "TEST"
    header.ReferringPhysicianName = ""
    header.Modality = "CT"
    header.SeriesNumber = header.InstanceNumber = 1
    return header
