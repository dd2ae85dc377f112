"""Volumes as NIfTI files, for anybody who wants to look at what was built."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray

from dicom_io.model_input.preprocess import ModelInput
from dicom_io.types import Volume

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_nifti(image: Volume | ModelInput, path: Path) -> None:
    """Write a volume in HU, or what the model saw, as NIfTI-1 (`.nii` or `.nii.gz`).

    Axes are stored as dcm2niix stores them: columns, rows from the bottom up, slices, with an sform
    and a qform to RAS mm; a sheared affine is exact in the sform alone.

    Parameters
    ----------
    image : Volume or ModelInput
        int16 stays int16, float32 stays float32.
    path : Path
        The file to write.
    """
    array = image.hu if isinstance(image, Volume) else image.pixels[0]
    affine = _LPS_TO_RAS @ image.affine_lps[:, [2, 1, 0, 3]] @ _upwards(array.shape[1])
    nifti = nibabel.Nifti1Image(array[:, ::-1].T, affine)  # type: ignore[no-untyped-call]
    nifti.header.set_xyzt_units("mm")  # type: ignore[no-untyped-call]
    nifti.header["descrip"] = "CT in HU" if isinstance(image, Volume) else "model input, 0 to 1"
    nibabel.save(nifti, path)


def _upwards(rows: int) -> NDArray[np.float64]:
    """Index of a row counted from the bottom -> from the top."""
    flip = np.diag([1.0, -1.0, 1.0, 1.0])
    flip[1, 3] = rows - 1
    return flip
