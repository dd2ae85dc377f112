"""Value types that travel between the packages. No behaviour beyond their own geometry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from dicom_io.errors import GeometryError


@dataclass(frozen=True, eq=False)
class Instance:
    """One SOP Instance: where its file lies and its header.

    Parameters
    ----------
    path : Path
        The DICOM file.
    header : pydicom.Dataset
        Every attribute but the pixel data; `file_meta` is set.
    frames : tuple of int, optional
        Indices of the frames meant, of a multi-frame object that holds several stacks; None: all.
    pixel_data : tuple of int, optional
        Start of the value of PixelData in the file, or in its inflated data set, and its length;
        of compressed ones the length of all that follows. None where there is none.
    """

    path: Path
    header: Dataset
    frames: tuple[int, ...] | None = None
    pixel_data: tuple[int, int] | None = None

    @property
    def sop_instance_uid(self) -> str:
        return str(self.header.SOPInstanceUID)

    @property
    def sop_class_uid(self) -> str:
        return str(self.header.SOPClassUID)


@dataclass(frozen=True, eq=False)
class Series:
    """The instances that share one SeriesInstanceUID."""

    series_instance_uid: str
    instances: tuple[Instance, ...]

    @property
    def header(self) -> Dataset:
        """Header of the first instance; for attributes that a series shares (PS3.3 A.1.2.3)."""
        return self.instances[0].header


@dataclass(frozen=True, eq=False)
class Study:
    """The series that share one StudyInstanceUID.

    `ignored` holds a sentence for every file that was met and is no readable DICOM object,
    `damaged` those of them that are DICOM: images of this study may be lost with them.
    """

    study_instance_uid: str
    series: tuple[Series, ...]
    ignored: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Volume:
    """A CT volume in Hounsfield units.

    Parameters
    ----------
    hu : ndarray of int16 or float32, shape (D, H, W)
        Hounsfield units; D runs along the stack, H along image rows' order (down), W along columns.
    affine_lps : ndarray of float64, shape (4, 4)
        Maps (d, h, w, 1) to patient coordinates (x, y, z, 1) in mm, LPS (PS3.3 C.7.6.2.1.1).
    sop_instance_uids : tuple of str
        The instance behind each slice of the stack, in order, before any resampling.
    notes : tuple of str
        What had to be corrected to get here, one sentence each; empty for a plain stack.
    unreadable : tuple of str
        The images that were left out because their pixel data cannot be read, and why.
    """

    hu: NDArray[np.int16] | NDArray[np.float32]
    affine_lps: NDArray[np.float64]
    sop_instance_uids: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.hu.ndim != 3:
            raise GeometryError(f"hu must be (D, H, W), got {self.hu.shape}")
        if self.affine_lps.shape != (4, 4):
            raise GeometryError(f"affine_lps must be (4, 4), got {self.affine_lps.shape}")

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbours along D, H and W in mm."""
        d, h, w = np.linalg.norm(self.affine_lps[:3, :3], axis=0)
        return float(d), float(h), float(w)
