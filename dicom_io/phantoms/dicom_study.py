"""A phantom as a DICOM study: CT Image Storage (PS3.3 A.3), with its ground truth beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from dicom_io.phantoms.phantom import Phantom
from dicom_io.phantoms.scan import Region, Scan
from dicom_io.volume.orientation import acquisition_plane

_BODY_PART: dict[Region, str] = {
    "head": "HEAD",
    "chest": "CHEST",
    "abdomen": "ABDOMEN",
    "chest and abdomen": "CHESTABDOMEN",
    "head to pelvis": "WHOLEBODY",
}
"""Defined terms of PS3.16 annex L."""

_INTERCEPT = -1024
_DATE = "20260101"


def write_study(phantom: Phantom, folder: Path) -> Path:
    """Write a phantom as one CT series.

    Parameters
    ----------
    phantom : Phantom
        The same phantom gives the same bytes, UIDs included.
    folder : Path
        Made if it is missing. `truth.json` is written into it.

    Returns
    -------
    Path
        The folder of the series, inside `folder`: one file a slice, nothing else.
    """
    series = folder / "series"
    series.mkdir(parents=True, exist_ok=True)
    for dataset in ct_images(phantom):
        path = series / f"{dataset.InstanceNumber:04d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
    truth = {"seed": phantom.seed, **phantom.truth.to_dict()}
    (folder / "truth.json").write_text(json.dumps(truth, indent=2) + "\n", "utf-8")
    return series


def ct_images(phantom: Phantom) -> Iterator[Dataset]:
    """Yield the CT images of a phantom in stack order."""
    for index in range(len(phantom.volume.hu)):
        image = _study(phantom)
        _add_series(image, phantom)
        _add_image(image, phantom, index)
        yield image


def _uid(phantom: Phantom, *parts: object) -> str:
    # the detailed phantom of a seed is another patient than the plain one
    kind = "ctscribe phantom" if phantom.scan is None else "ctscribe detailed phantom"
    return generate_uid(entropy_srcs=[kind, str(phantom.seed), *map(str, parts)])


def _series(phantom: Phantom) -> tuple[object, ...]:
    """What tells the series of one body apart."""
    return "series", phantom.truth.plane, phantom.truth.phase, phantom.volume.hu.shape


def _study(phantom: Phantom) -> Dataset:
    image = Dataset()
    image.SpecificCharacterSet = "ISO_IR 192"
    image.PatientName = f"PHANTOM^SEED {phantom.seed}"
    image.PatientID = f"PHANTOM-{phantom.seed}"
    image.PatientBirthDate = ""
    image.PatientSex = "O"
    image.StudyInstanceUID = _uid(phantom, "study")
    image.StudyID = "1"
    image.AccessionNumber = f"P{phantom.seed}"
    image.StudyDate = image.SeriesDate = image.AcquisitionDate = image.ContentDate = _DATE
    image.StudyTime = image.SeriesTime = image.AcquisitionTime = image.ContentTime = "120000"
    image.ReferringPhysicianName = ""
    image.StudyDescription = "Synthetic CT of chest and abdomen"
    return image


def _add_series(image: Dataset, phantom: Phantom) -> None:
    image.Modality = "CT"
    image.SeriesInstanceUID = _uid(phantom, *_series(phantom))
    image.SeriesNumber = 2
    image.FrameOfReferenceUID = _uid(phantom, "frame of reference")
    image.PositionReferenceIndicator = ""
    image.Manufacturer = "ctscribe"
    image.ManufacturerModelName = "phantom"
    image.SoftwareVersions = "1"
    image.PatientPosition = "HFS"
    image.BodyPartExamined = "CHESTABDOMEN"
    image.KVP = "120"
    image.ConvolutionKernel = "STANDARD"
    image.AcquisitionNumber = 1
    image.WindowCenter, image.WindowWidth = "40", "400"
    if phantom.truth.phase != "non-contrast":
        image.ContrastBolusAgent = "SYNTHETIC"
    if phantom.scan is not None:
        _add_habits(image, phantom.scan)


def _add_habits(image: Dataset, scan: Scan) -> None:
    """Say of the series what its scanner would say; the model stays a phantom."""
    scanner = scan.scanner
    image.Manufacturer = scanner.manufacturer
    image.StudyDescription = f"Synthetic CT, {scan.region}"
    image.PatientPosition = scan.position
    image.ConvolutionKernel = scan.kernel
    image.WindowCenter = [str(centre) for centre, _ in scanner.windows]
    image.WindowWidth = [str(width) for _, width in scanner.windows]
    if scanner.names_region:
        image.BodyPartExamined = _BODY_PART[scan.region]
    else:
        del image.BodyPartExamined
        image.Laterality = ""  # then nobody knows that it is of no paired structure


def _add_image(image: Dataset, phantom: Phantom, index: int) -> None:
    volume = phantom.volume
    affine = volume.affine_lps
    spacing = volume.spacing_mm
    directions = affine[:3, :3] / spacing
    # a reformat is derived; its third value can only be AXIAL or LOCALIZER (PS3.3 C.8.2.1.1.1)
    derived = acquisition_plane(affine) != "axial"
    scan, intercept, signed, number = phantom.scan, _INTERCEPT, False, index + 1
    image.ImageType = ["DERIVED" if derived else "ORIGINAL", "PRIMARY", "AXIAL"]
    if scan is not None:
        image.ImageType += scan.scanner.image_type
        intercept, signed = scan.scanner.intercept, scan.scanner.signed
        number = number if scan.scanner.from_above else len(volume.hu) - index
    image.SOPClassUID = CTImageStorage
    image.SOPInstanceUID = _uid(phantom, *_series(phantom), "image", index)
    image.InstanceNumber = number
    position = affine[:3, 3] + index * affine[:3, 0]
    image.ImagePositionPatient = [f"{mm:.6f}" for mm in position]
    # Row direction (along columns' index) first, then column direction (PS3.3 C.7.6.2.1.1)
    image.ImageOrientationPatient = [f"{c:g}" for c in (*directions[:, 2], *directions[:, 1])]
    image.PixelSpacing = [f"{spacing[1]:.6f}", f"{spacing[2]:.6f}"]
    image.SliceThickness = f"{spacing[0] if scan is None else scan.thickness_mm:.6f}"
    stored = volume.hu[index].astype(np.int32) - intercept
    image.Rows, image.Columns = stored.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
    image.PixelRepresentation = int(signed)
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = str(intercept), "1", "HU"
    image.PixelData = stored.astype("<i2" if signed else "<u2").tobytes()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
