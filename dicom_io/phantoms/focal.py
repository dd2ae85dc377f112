"""Focal findings of a phantom: where they lie in a body, how large they are, and what they weigh.

They are drawn from landmarks and not from voxels, so that a body has the same ones in every plane.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

FOCAL_FINDINGS = ("pulmonary nodule", "liver lesion", "renal cyst", "aortic aneurysm")
FREQUENCY = 0.35
_SIZES_MM = {
    "pulmonary nodule": (12, 28),
    "liver lesion": (16, 40),
    "renal cyst": (16, 44),
    "aortic aneurysm": (36, 58),
}
_NODULE_HU, _CYST_HU = 45.0, 6.0
_LESION_BELOW_LIVER_HU = 42.0

Point = tuple[float, ...]
"""x, y and z."""

OneSide = Literal["left", "right"]
_TOWARDS = {"left": 1, "right": -1}


@dataclass(frozen=True)
class Landmarks:
    """What focal findings are placed by, in the body's own millimetres and in HU.

    Parameters
    ----------
    scale : float
        Millimetres of the patient in one of the body.
    dome, lung_x : float
        Height of the diaphragm; distance of the lungs' axes from the midline.
    liver : tuple of float
        Its centre.
    kidneys : dict
        Centres by side.
    aorta : tuple of float
        x and y of its axis.
    liver_hu, blood_hu : float
        As they are enhanced in this phase.
    effusion : str, optional
        The side that an effusion covers.
    """

    scale: float
    dome: float
    lung_x: float
    liver: Point
    kidneys: dict[OneSide, Point]
    aorta: tuple[float, float]
    liver_hu: float
    blood_hu: float
    effusion: str | None


@dataclass(frozen=True)
class Lesion:
    """An ellipsoid of one HU inside an organ.

    Parameters
    ----------
    name, side, place, size_mm
        As in `dicom_io.phantoms.phantom.Finding`.
    extent : float
        Size within the range of its kind, 0 to 1.
    centre, radii : tuple of float
        In the body's own millimetres.
    organ : str
        It ends where this organ ends.
    hu : float
    """

    name: str
    side: OneSide | None
    place: str
    size_mm: int
    extent: float
    centre: Point
    radii: Point
    organ: str
    hu: float


@dataclass(frozen=True)
class Draw:
    """What is drawn for a lesion: side, upper or lower, place within [-1, 1]³, radius."""

    side: OneSide
    upper: bool
    at: tuple[float, float, float]
    radius: float


@dataclass(frozen=True)
class Placed:
    """Where a lesion lies, in the body's own millimetres, and what it is made of."""

    side: OneSide | None
    place: str
    centre: Point
    radii: Point
    organ: str
    hu: float


def draw_lesions(body: Landmarks, rng: np.random.Generator) -> Iterator[Lesion]:
    """Draw the focal findings of a body; each kind is there in about a third of them."""
    for name in FOCAL_FINDINGS:
        there, extent = rng.random() < FREQUENCY, rng.random()
        low, high = _SIZES_MM[name]
        size = round(low + extent * (high - low))
        side: OneSide = "left" if rng.random() < 0.5 else "right"
        upper = rng.random() < 0.5
        x, y, z = (float(a) for a in rng.uniform(-1, 1, 3))
        placed = PLACED[name](body, Draw(side, upper, (x, y, z), size / 2 / body.scale))
        if there:
            yield Lesion(name=name, size_mm=size, extent=extent, **vars(placed))


def _nodule(body: Landmarks, drawn: Draw) -> Placed:
    x, y, z = drawn.at
    # fluid covers the back of the lower lobe
    upper = drawn.upper or body.effusion in (drawn.side, "bilateral")
    y, z = (-10 + 8 * y, 112 + 6 * z) if upper else (42 + 6 * y, 48 + 6 * z)
    centre = (_TOWARDS[drawn.side] * (body.lung_x + 6 * x), y, body.dome + z)
    place = "upper lobe" if upper else "lower lobe"
    return Placed(
        drawn.side, place, centre, _sphere(drawn.radius), f"{drawn.side} lung", _NODULE_HU
    )


def _liver_lesion(body: Landmarks, drawn: Draw) -> Placed:
    x, y, z = drawn.at
    centre = _moved(body.liver, 18 * x - 6, 10 * y - 18, (28 if drawn.upper else -28) + 4 * z)
    place = "superior part" if drawn.upper else "inferior part"
    hu = body.liver_hu - _LESION_BELOW_LIVER_HU
    return Placed(None, place, centre, _sphere(drawn.radius), "liver", hu)


def _cyst(body: Landmarks, drawn: Draw) -> Placed:
    x, y, z = drawn.at
    outwards = _TOWARDS[drawn.side] * (8 + 4 * x)
    kidney = body.kidneys[drawn.side]
    centre = _moved(kidney, outwards, 4 * y, (30 if drawn.upper else -30) + 4 * z)
    place = "upper pole" if drawn.upper else "lower pole"
    return Placed(drawn.side, place, centre, _sphere(drawn.radius), "cavity", _CYST_HU)


def _aneurysm(body: Landmarks, drawn: Draw) -> Placed:
    # it grows to the front, since the spine is behind it
    centre = (body.aorta[0], body.aorta[1] - drawn.radius + 11, -102 + 6 * drawn.at[2])
    radii = (drawn.radius, drawn.radius, 1.3 * drawn.radius)
    return Placed(None, "infrarenal", centre, radii, "cavity", body.blood_hu)


PLACED: dict[str, Callable[[Landmarks, Draw], Placed]] = {
    "pulmonary nodule": _nodule,
    "liver lesion": _liver_lesion,
    "renal cyst": _cyst,
    "aortic aneurysm": _aneurysm,
}


def _sphere(radius: float) -> Point:
    return radius, radius, radius


def _moved(point: Point, x: float, y: float, z: float) -> Point:
    return point[0] + x, point[1] + y, point[2] + z
