"""The smallest DICOM files that an archive keeps: a CT slice and a report of the same study."""

from __future__ import annotations

from pathlib import Path

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedSRStorage,
    ExplicitVRLittleEndian,
    generate_uid,
)

PATIENT_ID = "Π-17"
PATIENT_NAME = "Müller^Zoë=山田^太郎"


def write_slice(
    folder: Path,
    study: str,
    *,
    series: str | None = None,
    patient_id: str = PATIENT_ID,
    patient_name: str = PATIENT_NAME,
) -> Path:
    """Write one CT slice of 4 × 4 pixels."""
    dataset = _instance(study, CTImageStorage, series, patient_id, patient_name)
    dataset.Modality = "CT"
    dataset.Rows = dataset.Columns = 4
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 1
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = bytes(32)
    return _write(dataset, folder)


def write_report(
    folder: Path,
    study: str,
    *,
    patient_id: str = PATIENT_ID,
    patient_name: str = PATIENT_NAME,
) -> Path:
    """Write one Structured Report with an empty root container."""
    dataset = _instance(study, EnhancedSRStorage, None, patient_id, patient_name)
    dataset.Modality = "SR"
    dataset.ValueType = "CONTAINER"
    dataset.ContinuityOfContent = "SEPARATE"
    dataset.CompletionFlag = "COMPLETE"
    dataset.VerificationFlag = "UNVERIFIED"
    return _write(dataset, folder)


def _instance(
    study: str, sop_class: str, series: str | None, patient_id: str, patient_name: str
) -> Dataset:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID = study
    dataset.SeriesInstanceUID = series or generate_uid()
    dataset.PatientID = patient_id
    dataset.PatientName = patient_name
    dataset.StudyDate = dataset.StudyTime = dataset.AccessionNumber = ""
    dataset.InstanceNumber = 1
    return dataset


def _write(dataset: Dataset, folder: Path) -> Path:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{dataset.SOPInstanceUID}.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path
