"""Make a DICOM series out of a CT volume that lies as NIfTI (HU, RAS)."""

from pathlib import Path

import nibabel
import numpy as np
from pydicom.uid import generate_uid

from tests.ct import ct_stack, save


def write_torso_series(nifti_path: Path, folder: Path) -> Path:
    """Write the volume as axial CT images, a study of one series; returns the folder.

    The slices run head to feet, rows front to back, columns patient right to left, so that
    `build_volume` gives the NIfTI's HU on the NIfTI's affine.
    """
    image = nibabel.as_closest_canonical(nibabel.load(nifti_path))
    hu = np.asarray(image.dataobj).transpose(2, 1, 0)[::-1, ::-1, ::-1]
    last = np.array(image.shape) - 1
    spacing = np.diag(image.affine)[:3]
    affine_lps = np.zeros((4, 4))
    affine_lps[[2, 1, 0], [0, 1, 2]] = -spacing[2], spacing[1], spacing[0]
    affine_lps[:3, 3] = np.diag([-1, -1, 1]) @ (image.affine[:3, 3] + spacing * last)
    affine_lps[3, 3] = 1
    return save(
        ct_stack(
            hu,
            affine_lps,
            intercept=-1200,
            StudyInstanceUID=generate_uid(),
            SeriesInstanceUID=generate_uid(),
            SeriesDescription="TORSO 3 MM",
            WindowCenter="40",
            WindowWidth="400",
            SliceThickness="3",
        ),
        folder,
    )
