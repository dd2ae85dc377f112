"""Tubes in a body: vessels, airways, bones of the limbs."""

from __future__ import annotations

import numpy as np

from dicom_io.phantoms.body import Body, Mask
from dicom_io.phantoms.focal import Point


def tube(
    body: Body,
    ends: tuple[Point, Point],
    radii: tuple[float, float],
    hu: float,
    where: Mask | None = None,
) -> Mask:
    """Paint a tube that narrows, with round ends.

    Parameters
    ----------
    body : Body
        That is painted on.
    ends : tuple of Point
        In its own millimetres.
    radii : tuple of float
        At each end.
    hu : float
    where : ndarray of bool, optional
        Nothing outside of it is painted.

    Returns
    -------
    ndarray of bool
        What was painted, of the whole volume.
    """
    (ax, ay, az), (bx, by, bz) = ends
    dx, dy, dz = bx - ax, by - ay, bz - az
    length = max(dx * dx + dy * dy + dz * dz, 1e-6)
    widest = max(radii)
    middle = ((ax + bx) / 2, (ay + by) / 2, (az + bz) / 2)
    reach = (abs(dx) / 2 + widest, abs(dy) / 2 + widest, abs(dz) / 2 + widest)
    box = body.box(middle, reach)
    x, y, z = body.axes(box)
    along = np.clip(((x - ax) * dx + (y - ay) * dy + (z - az) * dz) / length, 0, 1)
    off = (x - ax - along * dx) ** 2 + (y - ay - along * dy) ** 2 + (z - az - along * dz) ** 2
    painted = np.zeros(body.hu.shape, np.bool_)
    painted[box] = off < (radii[0] + along * (radii[1] - radii[0])) ** 2
    if where is not None:
        painted[box] &= where[box]
    np.copyto(body.hu[box], np.float32(hu), where=painted[box])
    return painted
