"""Arrays on an affine as NIfTI files, for anybody who wants to look at what was built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_nifti(
    path: Path, array: NDArray[Any], affine_lps: NDArray[np.float64], description: str
) -> None:
    """Write a volume in HU, or what a model saw, as NIfTI-1 (`.nii` or `.nii.gz`).

    Axes are stored as dcm2niix stores them: columns, rows from the bottom up, slices, with an sform
    and a qform to RAS mm; a sheared affine is exact in the sform alone.

    Parameters
    ----------
    path : Path
        The file to write.
    array : ndarray of int16 or float32, shape (D, H, W)
        The type is kept.
    affine_lps : ndarray of float64, shape (4, 4)
        Maps (d, h, w, 1) to patient coordinates in mm, LPS.
    description : str
        What the values are; up to 80 characters of ASCII.
    """
    affine = _LPS_TO_RAS @ affine_lps[:, [2, 1, 0, 3]] @ _upwards(array.shape[1])
    nifti = nibabel.Nifti1Image(array[:, ::-1].T, affine)  # type: ignore[no-untyped-call]
    nifti.header.set_xyzt_units("mm")  # type: ignore[no-untyped-call]
    nifti.header["descrip"] = description
    nibabel.save(nifti, path)


def _upwards(rows: int) -> NDArray[np.float64]:
    """Index of a row counted from the bottom -> from the top."""
    flip = np.diag([1.0, -1.0, 1.0, 1.0])
    flip[1, 3] = rows - 1
    return flip
