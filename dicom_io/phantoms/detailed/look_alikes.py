"""What looks like a finding and is none: drawn and painted whether or not the finding is there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dicom_io.phantoms.body import Body, Mask
from dicom_io.phantoms.detailed.brush import tube
from dicom_io.phantoms.focal import OneSide

_FREQUENCY = 0.35

_TOWARDS: dict[OneSide, int] = {"left": 1, "right": -1}


def paint_look_alikes(body: Body, free: Mask) -> dict[str, Mask]:
    """Paint some of them, and say where they lie.

    Parameters
    ----------
    body : Body
    free : ndarray of bool
        Where no fluid lies.

    Returns
    -------
    dict of str to ndarray
        Voxels by name; what has none is out of view.
    """
    painted = {}
    for name, paint in _PAINTERS.items():
        body.begin(f"look-alike {name}")
        there = body.rng.random() < _FREQUENCY
        side: OneSide = "left" if body.rng.random() < 0.5 else "right"
        if there and (where := paint(body, side, free)).any():
            painted[name] = where
    return painted


def _thick_vessel(body: Body, side: OneSide, free: Mask) -> Mask:
    """A vessel as thick as a nodule, but long."""
    sign, radius = _TOWARDS[side], body.rng.uniform(4, 7)
    start = (sign * (body.lung_x - 25), body.rng.uniform(-15, 25), body.dome + 70)
    along = (sign * body.rng.uniform(12, 35), *body.rng.uniform(-30, 30, 2))
    end = tuple(a + float(b) for a, b in zip(start, along, strict=True))
    lung = body.organs[f"{side} lung"] & free
    return tube(body, (start, end), (radius, 0.8 * radius), 0.8 * body.blood_hu, lung)


def _bulla(body: Body, side: OneSide, free: Mask) -> Mask:
    """Air that is round, in the apex, and no pneumothorax."""
    radius = body.rng.uniform(8, 18)
    centre = (_TOWARDS[side] * (body.lung_x - 15), *body.jitter(0, body.dome + 115, mm=8))
    bulla = body.inside(centre, (radius, radius, radius), body.organs[f"{side} lung"] & free)
    body.fill(bulla, -985)
    return bulla


def _atelectasis(body: Body, side: OneSide, free: Mask) -> Mask:
    """A thin band of lung without air, denser than fluid."""
    lung = body.organs[f"{side} lung"] & free
    x, z = _TOWARDS[side] * body.lung_x, body.dome + body.rng.uniform(5, 25)
    ends = (x - 30, body.down * 38, z), (x + 30, body.down * 38, z + 8)
    return tube(body, ends, (3, 3), body.rng.uniform(40, 90), lung)


def _gallbladder(body: Body, side: OneSide, free: Mask) -> Mask:
    """Fluid at the lower edge of the liver, no lesion and no cyst."""
    x, y, z = body.liver
    where = body.cavity & free & ~body.spine
    gallbladder = body.inside((x + 24, y - 34, z - 52), (13, 13, 24), where)
    body.fill(gallbladder, body.rng.uniform(2, 16))
    return gallbladder


def _wide_pelvis(body: Body, side: OneSide, free: Mask) -> Mask:
    """A renal pelvis outside the kidney: no cyst, and late no stone though full of contrast."""
    x, y, z = body.kidneys[side]
    where = body.cavity & free & ~body.spine
    centre = (x - _TOWARDS[side] * 20, y - 6, z)
    pelvis = body.inside(centre, (13, 9, 15), where)
    body.fill(pelvis, body.enhanced("renal pelvis"))
    return pelvis


def _calices(body: Body, side: OneSide, free: Mask) -> Mask:
    """Narrow ways from the poles to the renal pelvis, bright in the delayed phase."""
    x, y, z = body.kidneys[side]
    kidney, hu = body.organs[f"{side} kidney"], body.enhanced("renal pelvis")
    pelvis = (x - _TOWARDS[side] * 10, y, z)
    ways = [tube(body, (pelvis, (x, y, z + up)), (4, 3), hu, kidney) for up in (-28, 28)]
    return ways[0] | ways[1]


def _calcified_aorta(body: Body, side: OneSide, free: Mask) -> Mask:
    """Lime in the wall of an aorta of normal width: neither stone nor aneurysm."""
    x, y = body.aorta
    painted = np.zeros(body.hu.shape, np.bool_)
    for _ in range(5):
        angle, z = body.rng.uniform(0, 2 * np.pi), body.rng.uniform(-140, 60)
        at = (x + 11 * float(np.cos(angle)), y + 11 * float(np.sin(angle)), z)
        painted |= tube(body, (at, (at[0], at[1], z + 12)), (2.5, 2), 700, body.cavity & free)
    return painted


def _wide_aorta(body: Body, side: OneSide, free: Mask) -> Mask:
    """An aorta that is wide, with at most 28 mm, all the way: no aneurysm."""
    x, y = body.aorta
    radius = body.rng.uniform(12, 14)
    ends = (x, y - radius + 11, -145), (x, y - radius + 11, 60)
    return tube(body, ends, (radius, radius), body.blood_hu, body.cavity & free & ~body.spine)


def _phleboliths(body: Body, side: OneSide, free: Mask) -> Mask:
    """Lime in veins of the pelvis: no stones of a kidney."""
    painted = np.zeros(body.hu.shape, np.bool_)
    for _ in range(3):
        at = body.jitter(_TOWARDS[side] * 45, 20, -235, mm=14)
        painted |= tube(body, (at, at), (3.5, 3.5), 600, body.cavity & free)
    return painted


_PAINTERS: dict[str, Callable[[Body, OneSide, Mask], Mask]] = {
    "thick vessel": _thick_vessel,
    "bulla": _bulla,
    "atelectasis": _atelectasis,
    "gallbladder": _gallbladder,
    "wide renal pelvis": _wide_pelvis,
    "calices": _calices,
    "wide aorta": _wide_aorta,
    "calcified aorta": _calcified_aorta,
    "phleboliths": _phleboliths,
}
LOOK_ALIKES = tuple(_PAINTERS)
