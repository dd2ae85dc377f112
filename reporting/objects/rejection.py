"""A rejection note: the Key Object Selection by which an archive hides a report (IHE RAD, IOCM)."""

from __future__ import annotations

from collections.abc import Sequence

import highdicom
from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.dataset import FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from dicom_io.device import DEVICE_UID, MANUFACTURER, MODEL_NAME
from dicom_io.errors import UnreadableText
from reporting.patient import copy_identity, now_at

# PS3.16 CID 7011. A report under the wrong patient or order must not be shown at all, which is what
# this title asks for; 113038 (incorrect worklist entry) announces corrected images in its place
PATIENT_SAFETY = Code("113037", "DCM", "Rejected for Patient Safety Reasons")
# Below the drafts' own numbers (9000 + revision), above what scanners use
_SERIES_NUMBER = 8999


@disable_value_validation()  # its warnings would tell the CT's odd values, identifiers among them
def rejection_note(
    rejected: Dataset, corrected: Dataset, beside: Sequence[Dataset] = ()
) -> Dataset:
    """Write the note that rejects a report object.

    Parameters
    ----------
    rejected : pydicom.Dataset
        The report object.
    corrected : pydicom.Dataset
        A header of the study as the archive has it now; the note is filed under its patient, or
        under the report's where its own cannot be read.
    beside : sequence of pydicom.Dataset
        What stands beside the report and is rejected with it.

    Returns
    -------
    pydicom.Dataset
        With `file_meta`.
    """
    evidence = [_reference(one) for one in (rejected, *beside)]
    note = highdicom.ko.KeyObjectSelectionDocument(
        evidence=evidence,
        content=highdicom.ko.KeyObjectSelection(PATIENT_SAFETY, evidence),
        series_instance_uid=generate_uid(None),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=generate_uid(None),
        instance_number=1,
        manufacturer=MANUFACTURER,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    return _filed(note, rejected, corrected)


def _reference(rejected: Dataset) -> Dataset:
    reference = Dataset()
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"):
        setattr(reference, keyword, str(rejected[keyword].value))
    for keyword in ("PatientID", "PatientName", "PatientSex", "AccessionNumber", "StudyID"):
        setattr(reference, keyword, "")
    for keyword in ("PatientBirthDate", "StudyDate", "StudyTime"):
        setattr(reference, keyword, None)
    return reference


def _filed(note: Dataset, rejected: Dataset, corrected: Dataset) -> Dataset:
    dataset = Dataset()
    dataset.update(note)
    dataset.file_meta = FileMetaDataset(note.file_meta)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ManufacturerModelName, dataset.DeviceUID = MODEL_NAME, DEVICE_UID
    moment = now_at(rejected)
    for prefix in ("InstanceCreation", "Content", "Series"):
        setattr(dataset, f"{prefix}Date", moment.strftime("%Y%m%d"))
        setattr(dataset, f"{prefix}Time", moment.strftime("%H%M%S"))
    try:
        copy_identity(corrected, dataset)
    except UnreadableText:
        copy_identity(rejected, dataset)
    return dataset
