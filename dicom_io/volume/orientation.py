"""Which array axis points where in the patient, and volumes turned to a canonical orientation."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dicom_io.types import Volume

Plane = Literal["axial", "coronal", "sagittal"]
Orientation = Literal["displayed", "axial", "SRA", "SPL", "SLP"]

LEFT, POSTERIOR, HEAD = 0, 1, 2
"""The LPS axes by where they point (PS3.3 C.7.6.2.1.1)."""

_PLANE_OF_STACK: dict[int, Plane] = {LEFT: "sagittal", POSTERIOR: "coronal", HEAD: "axial"}

# (LPS axis, sense) of D, H and W as a reader sees the slices: slices in order, rows downwards
_AS_DISPLAYED: dict[Plane, tuple[tuple[int, int], ...]] = {
    "axial": ((HEAD, -1), (POSTERIOR, +1), (LEFT, +1)),
    "coronal": ((POSTERIOR, +1), (HEAD, -1), (LEFT, +1)),
    "sagittal": ((LEFT, +1), (HEAD, -1), (POSTERIOR, +1)),
}
_WANTED = {
    "axial": _AS_DISPLAYED["axial"],
    "SRA": ((HEAD, +1), (LEFT, -1), (POSTERIOR, -1)),
    "SLP": ((HEAD, +1), (LEFT, +1), (POSTERIOR, +1)),
    "SPL": ((HEAD, +1), (POSTERIOR, +1), (LEFT, +1)),
}


def patient_axes(affine_lps: NDArray[np.float64]) -> tuple[int, int, int]:
    """For D, H and W the LPS axis it runs along most nearly, each LPS axis used once."""
    directions = affine_lps[:3, :3] / np.linalg.norm(affine_lps[:3, :3], axis=0)
    d, h, w = max(permutations(range(3)), key=lambda p: sum(abs(directions[p, range(3)])))
    return d, h, w


def acquisition_plane(affine_lps: NDArray[np.float64]) -> Plane:
    """The plane that the slices of the stack lie in; oblique ones count as the nearest."""
    return _PLANE_OF_STACK[patient_axes(affine_lps)[0]]


def reorient(volume: Volume, orientation: Orientation) -> Volume:
    """Turn a volume without copying it: axes permuted and flipped, the affine with them.

    Parameters
    ----------
    volume : Volume
        Of any orientation.
    orientation : {"displayed", "axial", "SRA", "SPL", "SLP"}
        `"displayed"` keeps the plane of the slices and orders it as a reader sees it: axial slices
        head to feet, rows front to back, columns patient right to left; coronal front to back,
        head to feet, right to left; sagittal right to left, head to feet, front to back.
        `"axial"` gives the axial order whatever the plane of acquisition was. `"SRA"` has D grow to
        the head (superior), H to the patient's right, W to the front (anterior); `"SPL"` H to the
        back (posterior) and W to the left, `"SLP"` the other way round.

    Returns
    -------
    Volume
        A view on the same HU; `sop_instance_uids` follow the stack, or are dropped where the stack
        is no longer the first axis.
    """
    axes = patient_axes(volume.affine_lps)
    if orientation == "displayed":
        wanted = _AS_DISPLAYED[_PLANE_OF_STACK[axes[0]]]
    else:
        wanted = _WANTED[orientation]
    order = tuple(axes.index(axis) for axis, _ in wanted)
    hu = volume.hu.transpose(order)
    affine = volume.affine_lps[:, [*order, 3]]
    uids = volume.sop_instance_uids if order[0] == 0 else ()
    for k, (axis, sense) in enumerate(wanted):
        if affine[axis, k] * sense < 0:
            affine[:, 3] += affine[:, k] * (hu.shape[k] - 1)
            affine[:, k] *= -1
            hu = np.flip(hu, k)
            uids = uids[::-1] if k == 0 else uids
    return replace(volume, hu=hu, affine_lps=affine, sop_instance_uids=uids)
