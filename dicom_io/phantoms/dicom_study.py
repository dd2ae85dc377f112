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
from dicom_io.volume.orientation import acquisition_plane

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
    return generate_uid(entropy_srcs=["ctscribe phantom", str(phantom.seed), *map(str, parts)])


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


def _add_image(image: Dataset, phantom: Phantom, index: int) -> None:
    volume = phantom.volume
    affine = volume.affine_lps
    spacing = volume.spacing_mm
    directions = affine[:3, :3] / spacing
    # a reformat is derived; its third value can only be AXIAL or LOCALIZER (PS3.3 C.8.2.1.1.1)
    derived = acquisition_plane(affine) != "axial"
    image.ImageType = ["DERIVED" if derived else "ORIGINAL", "PRIMARY", "AXIAL"]
    image.SOPClassUID = CTImageStorage
    image.SOPInstanceUID = _uid(phantom, *_series(phantom), "image", index)
    image.InstanceNumber = index + 1
    position = affine[:3, 3] + index * affine[:3, 0]
    image.ImagePositionPatient = [f"{mm:.6f}" for mm in position]
    # Row direction (along columns' index) first, then column direction (PS3.3 C.7.6.2.1.1)
    image.ImageOrientationPatient = [f"{c:g}" for c in (*directions[:, 2], *directions[:, 1])]
    image.PixelSpacing = [f"{spacing[1]:.6f}", f"{spacing[2]:.6f}"]
    image.SliceThickness = f"{spacing[0]:.6f}"
    stored = volume.hu[index].astype(np.int32) - _INTERCEPT
    image.Rows, image.Columns = stored.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
    image.PixelRepresentation = 0
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = str(_INTERCEPT), "1", "HU"
    image.PixelData = stored.astype("<u2").tobytes()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
