"""CT series as DICOM files, with every property that a test wants to go wrong."""

from collections.abc import Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


@cache
def _plain() -> FileDataset:
    """One slice as read from a file: its elements are not yet values, and copying them is cheap."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, "1.2"
    dataset.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    dataset.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.1.1"
    dataset.FrameOfReferenceUID = "1.2.826.0.1.3680043.8.498.1.9"
    dataset.PatientName, dataset.PatientID = "Test^Torso", "T1"
    dataset.PatientBirthDate, dataset.PatientSex = "", "O"
    dataset.StudyDate, dataset.StudyTime = "20260101", "120000"
    dataset.StudyID, dataset.AccessionNumber, dataset.ReferringPhysicianName = "1", "A1", ""
    dataset.Modality, dataset.Manufacturer = "CT", "ctscribe tests"
    dataset.SeriesNumber, dataset.AcquisitionNumber = 2, 1
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.KVP, dataset.SliceThickness, dataset.ConvolutionKernel = 120, 3, "STANDARD"
    dataset.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    dataset.PixelSpacing = [1.0, 1.0]
    dataset.PositionReferenceIndicator = ""
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = 0
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    file.seek(0)
    return dcmread(file)


def ct_slice(
    hu: np.ndarray,
    position: Sequence[float],
    *,
    number: int = 1,
    orientation: Sequence[Sequence[float]] = IDENTITY,
    pixel_mm: tuple[float, float] = (1.0, 1.0),
    slope: float = 1,
    intercept: float = -1024,
    signed: bool = False,
    bits: int = 16,
    transfer_syntax: UID = ExplicitVRLittleEndian,
    **attributes: Any,
) -> Dataset:
    """One CT image of (H, W) HU; `attributes` are DICOM keywords, None removes one."""
    stored = np.rint((hu - intercept) / slope).astype(np.int16 if signed else np.uint16)
    dataset = Dataset(dict(_plain().items()))
    dataset.file_meta = FileMetaDataset()
    dataset.SOPInstanceUID = generate_uid()
    dataset.InstanceNumber = number
    dataset.ImagePositionPatient = [round(float(x), 6) for x in position]
    dataset.Rows, dataset.Columns = hu.shape
    dataset.PixelData = stored.astype("<i2" if signed else "<u2").tobytes()
    if orientation is not IDENTITY:
        dataset.ImageOrientationPatient = [round(float(x), 9) for axis in orientation for x in axis]
    if pixel_mm != (1.0, 1.0):
        dataset.PixelSpacing = list(pixel_mm)
    if (bits, signed) != (16, False):
        dataset.BitsStored, dataset.HighBit = bits, bits - 1
        dataset.PixelRepresentation = int(signed)
    if (slope, intercept) != (1, -1024):
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
    for keyword, value in attributes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    if transfer_syntax.is_compressed and not transfer_syntax.is_deflated:
        dataset.compress(transfer_syntax, generate_instance_uid=False)
    dataset.file_meta.TransferSyntaxUID = transfer_syntax
    return dataset


def ct_stack(hu: np.ndarray, affine_lps: np.ndarray, **attributes: Any) -> list[Dataset]:
    """(D, H, W) HU on an affine -> one image for each slice, numbered from 1."""
    pixel = np.linalg.norm(affine_lps[:3, 1:3], axis=0)
    column, row = (affine_lps[:3, 1:3] / pixel).T
    return [
        ct_slice(
            plane,
            affine_lps[:3, 3] + k * affine_lps[:3, 0],
            number=k + 1,
            orientation=(row, column),
            pixel_mm=(float(pixel[0]), float(pixel[1])),
            **attributes,
        )
        for k, plane in enumerate(hu)
    ]


def save(datasets: Sequence[Dataset], folder: Path) -> Path:
    """Write the images into a folder, one file each, in an order that is not the stack's."""
    folder.mkdir(parents=True, exist_ok=True)
    for dataset in datasets:
        path = folder / f"{str(dataset.SOPInstanceUID)[-12:]}.dcm"
        dataset.save_as(path, enforce_file_format=True)
    return folder
