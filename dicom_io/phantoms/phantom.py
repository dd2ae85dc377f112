"""Synthetic CT studies: anatomy of simple bodies in plausible HU, with findings planted on purpose.

Patient coordinates are mm, LPS (PS3.3 C.7.6.2.1.1): x grows to the patient's left, y to the back,
z to the head. The origin lies in the middle of the abdomen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dicom_io.phantoms.focal import Landmarks, OneSide, Point, draw_lesions
from dicom_io.phantoms.noise import scanned
from dicom_io.types import Volume

Plane = Literal["axial", "coronal", "sagittal"]
Phase = Literal["non-contrast", "arterial", "portal venous", "delayed"]
Side = Literal["left", "right", "bilateral"]

PLANES: tuple[Plane, ...] = ("axial", "coronal", "sagittal")
PHASES: tuple[Phase, ...] = ("non-contrast", "arterial", "portal venous", "delayed")
FINDINGS = (
    "cardiomegaly",
    "pleural effusion",
    "hepatic steatosis",
    "splenomegaly",
    "ascites",
)

# HU of each tissue by phase, in the order of PHASES
_ENHANCEMENT = {
    "blood": (42.0, 310.0, 165.0, 105.0),
    "veins": (42.0, 90.0, 175.0, 110.0),
    "liver": (58.0, 72.0, 112.0, 90.0),
    "spleen": (50.0, 125.0, 122.0, 92.0),
    "kidney": (34.0, 150.0, 190.0, 150.0),
    "renal pelvis": (8.0, 10.0, 25.0, 420.0),
    "bladder": (6.0, 6.0, 8.0, 160.0),
}
_STEATOSIS_DROP = (48.0, 45.0, 58.0, 52.0)
_AIR, _LUNG, _FAT, _MUSCLE, _FLUID, _BONE = -1000.0, -840.0, -100.0, 52.0, 10.0, 420.0

# Direction cosines of the stack, the rows (down) and the columns, as a reader sees the slices
_AXES: dict[Plane, tuple[tuple[int, int], ...]] = {
    "axial": ((2, -1), (1, +1), (0, +1)),
    "coronal": ((1, +1), (2, -1), (0, +1)),
    "sagittal": ((0, +1), (2, -1), (1, +1)),
}

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Finding:
    """One planted finding.

    Parameters
    ----------
    name : str
        One of `FINDINGS`.
    side : {"left", "right", "bilateral"}, optional
        The patient's side, where the finding has one.
    extent : float
        0 (just there) to 1 (large).
    place : str, optional
        Where in its organ, e.g. "upper pole"; only focal findings have one.
    size_mm : int, optional
        Diameter; only focal findings have one.
    """

    name: str
    side: Side | None
    extent: float
    place: str | None = None
    size_mm: int | None = None


@dataclass(frozen=True)
class Truth:
    """What a phantom shows."""

    plane: Plane
    phase: Phase
    findings: tuple[Finding, ...]

    def finding(self, name: str) -> Finding | None:
        return next((finding for finding in self.findings if finding.name == name), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold; `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Truth:
        findings = tuple(Finding(**finding) for finding in values["findings"])
        return cls(values["plane"], values["phase"], findings)


@dataclass(frozen=True, eq=False)
class Phantom:
    """A synthetic study: its volume in HU and what is true of it."""

    seed: int
    volume: Volume
    truth: Truth


def make_phantom(
    seed: int,
    *,
    matrix: int | None = None,
    plane: Plane | None = None,
    phase: Phase | None = None,
    focal: bool = False,
) -> Phantom:
    """Make the phantom of a seed.

    The body and its findings are the same in every plane and phase.

    Parameters
    ----------
    seed : int
        Decides everything: body, plane, phase, findings, noise.
    matrix : int, optional
        Pixels along the wider side of a slice; 96 to 144 by default.
    plane, phase : str, optional
        In place of those that the seed would draw.
    focal : bool
        Whether focal findings may be planted too (`dicom_io.phantoms.focal`). The embedded model
        has not seen any.

    Returns
    -------
    Phantom
        Volume of int16, stack and rows ordered as displayed.
    """
    rng = np.random.default_rng(seed)
    drawn = draw_truth(rng)
    truth = replace(drawn, plane=plane or drawn.plane, phase=phase or drawn.phase)
    grid, affine = _grid(truth.plane, rng, matrix)
    body = _Body(grid, truth, rng)
    if focal:
        # a generator of their own: the body and its noise are those of the seed without them
        lesions = body.plant(np.random.default_rng((seed, 1)))
        truth = replace(truth, findings=(*truth.findings, *lesions))
    return Phantom(seed, Volume(scanned(body.hu, rng), affine), truth)


def draw_truth(rng: np.random.Generator) -> Truth:
    """Draw plane, phase and findings; each finding is there in about a third of the studies."""
    findings = []
    for name in FINDINGS:
        if rng.random() < (0.45 if name == "pleural effusion" else 0.33):
            side: Side | None = None
            if name == "pleural effusion":
                side = ("left", "right", "bilateral")[rng.integers(3)]
            findings.append(Finding(name, side, float(rng.random())))
    plane = PLANES[rng.choice(3, p=(0.6, 0.2, 0.2))]
    return Truth(plane, PHASES[rng.integers(4)], tuple(findings))


def _grid(
    plane: Plane, rng: np.random.Generator, matrix: int | None
) -> tuple[tuple[Array, Array, Array], NDArray[np.float64]]:
    """Return x, y, z in mm, broadcastable to (D, H, W), and the affine to them."""
    extent = np.array([430.0, 310.0, 560.0]) * rng.uniform(0.97, 1.08, 3)
    pixels = matrix or int(rng.integers(96, 145))
    axes = _AXES[plane]
    in_plane = max(extent[axes[1][0]], extent[axes[2][0]]) / pixels
    spacing = [float(rng.uniform(4.0, 7.0)), in_plane, in_plane]
    centre = rng.uniform(-12, 12, 3)
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    coordinates: list[Array] = [np.empty(0, np.float32)] * 3
    for array_axis, (axis, sense) in enumerate(axes):
        step = spacing[array_axis]
        n = round(extent[axis] / step)
        start = centre[axis] - sense * step * (n - 1) / 2
        affine[axis, array_axis] = sense * step
        affine[axis, 3] = start
        shape = [1, 1, 1]
        shape[array_axis] = n
        line = start + sense * step * np.arange(n)
        coordinates[axis] = line.astype(np.float32).reshape(shape)
    return (coordinates[0], coordinates[1], coordinates[2]), affine


class _Body:
    """Paints one body from the outside in; later organs overwrite earlier ones.

    The landmarks are in the body's own millimetres, like x, y and z.
    """

    def __init__(
        self, grid: tuple[Array, Array, Array], truth: Truth, rng: np.random.Generator
    ) -> None:
        self.truth, self.rng = truth, rng
        self.phase = PHASES.index(truth.phase)
        self.size = size = rng.uniform(0.88, 1.1)
        self.organs: dict[str, Mask] = {}
        self.kidneys: dict[OneSide, Point] = {}
        angle = rng.uniform(-0.07, 0.07)
        x, y, self.z = (axis / size for axis in grid)
        self.x = x * np.cos(angle) + y * np.sin(angle)
        self.y = y * np.cos(angle) - x * np.sin(angle)
        self.hu = np.full(np.broadcast_shapes(*(a.shape for a in grid)), _AIR, np.float32)
        self.build = rng.uniform(0.95, 1.12)
        self.paint_trunk()
        self.paint_chest()
        self.paint_abdomen()
        self.paint_skeleton()

    def jitter(self, *values: float, mm: float = 5.0) -> Point:
        return tuple(v + self.rng.uniform(-mm, mm) for v in values)

    def ellipsoid(
        self, centre: tuple[float, ...], radii: tuple[float, ...], *, power: int = 2
    ) -> Array:
        """Signed radius: below 1 inside."""
        squares: list[Array] = [
            np.abs((axis - c) / r) ** power
            for axis, c, r in zip((self.x, self.y, self.z), centre, radii, strict=True)
        ]
        return squares[0] + squares[1] + squares[2]

    def enhanced(self, tissue: str, *, spread: float = 0.06) -> float:
        value = _ENHANCEMENT[tissue][self.phase]
        return float(value * self.rng.uniform(1 - spread, 1 + spread))

    def severity(self, name: str, low: float, high: float) -> float | None:
        finding = self.truth.finding(name)
        return None if finding is None else low + (high - low) * finding.extent

    def paint_trunk(self) -> None:
        half_width, half_depth = 165 * self.build, 112 * self.build
        trunk = self.ellipsoid((0, 10, 0), (half_width, half_depth, 1e6), power=2)
        self.hu[np.broadcast_to(trunk < 1, self.hu.shape)] = _FAT
        fat = self.rng.uniform(10, 28)
        inner = self.ellipsoid((0, 10, 0), (half_width - fat, half_depth - fat, 1e6))
        self.hu[np.broadcast_to(inner < 1, self.hu.shape)] = _MUSCLE
        wall = fat + self.rng.uniform(11, 16)
        self.cavity = np.broadcast_to(
            self.ellipsoid((0, 2, 0), (half_width - wall, half_depth - wall, 1e6)) < 1,
            self.hu.shape,
        )
        self.half_width = half_width

    def paint_chest(self) -> None:
        self.dome = dome = self.rng.uniform(52, 68)
        centre_x, radius_x = self.jitter(72, 62, mm=4)
        self.lung_x = centre_x
        self.chest = self.cavity & (self.z > dome - 60)
        top = self.rng.uniform(225, 245)
        for side, sign in (("left", 1), ("right", -1)):
            lung = self.chest & (
                self.ellipsoid((sign * centre_x, 5, dome - 20), (radius_x, 92, top - dome)) < 1
            )
            diaphragm = dome - 0.004 * ((self.x - sign * 70) ** 2 + (self.y - 0) ** 2)
            lung &= self.z > diaphragm
            self.hu[lung] = _LUNG + self.rng.uniform(-30, 30)
            self.organs[f"{side} lung"] = lung
            self.paint_effusion(lung, side)
        mediastinum = self.chest & (np.abs(self.x) < 14) & (np.abs(self.z - 120) < 110)
        self.hu[mediastinum] = _FAT + 60
        self.paint_heart(dome)

    def paint_effusion(self, lung: Mask, side: str) -> None:
        finding = self.truth.finding("pleural effusion")
        if finding is None or finding.side not in (side, "bilateral"):
            return
        depth = 18 + 55 * finding.extent * self.rng.uniform(0.8, 1.2)
        level = 92 - depth
        meniscus = self.y + 0.0006 * self.x**2 - 0.14 * (self.z - 60)
        self.hu[lung & (meniscus > level)] = _FLUID + self.rng.uniform(-5, 8)

    def paint_heart(self, dome: float) -> None:
        scale = self.severity("cardiomegaly", 1.32, 1.62) or self.rng.uniform(0.9, 1.08)
        x, y, z = self.jitter(20, -28, dome + 36, mm=4)
        radii = tuple(r * scale for r in self.jitter(50, 40, 42, mm=2.5))
        heart = self.cavity & (self.ellipsoid((x, y, z), radii) < 1)
        self.hu[heart] = 0.75 * self.enhanced("blood") + 0.25 * _MUSCLE
        wall = self.cavity & (self.ellipsoid((x, y, z), tuple(0.8 * r for r in radii)) < 1)
        self.hu[heart & ~wall] = 0.3 * self.enhanced("blood") + 45

    def paint_abdomen(self) -> None:
        below = self.cavity & (self.hu == _MUSCLE) & (self.z < 110)
        above_pelvis = self.z > -230
        peritoneum = below & (self.hu == _MUSCLE)
        self.hu[peritoneum] = _FAT + self.rng.uniform(-8, 12)
        self.paint_bowel(peritoneum & above_pelvis)
        self.paint_ascites(peritoneum)
        self.paint_organs(self.cavity & (self.hu > _LUNG + 60))

    def paint_bowel(self, where: Mask) -> None:
        for _ in range(9):
            centre = (
                self.rng.uniform(-70, 70),
                self.rng.uniform(-65, 5),
                self.rng.uniform(-190, -40),
            )
            radii = tuple(self.rng.uniform(12, 26, 3))
            loop = where & (self.ellipsoid(centre, radii) < 1)
            self.hu[loop] = self.rng.uniform(20, 45)
            gas = self.ellipsoid(
                (centre[0], centre[1] - 5, centre[2]), tuple(0.45 * r for r in radii)
            )
            if self.rng.random() < 0.5:
                self.hu[loop & (gas < 1)] = -800

    def paint_ascites(self, peritoneum: Mask) -> None:
        thickness = self.severity("ascites", 13, 38)
        if thickness is None:
            return
        inset = 40 + thickness
        core = self.ellipsoid(
            (0, -12, 0), (self.half_width - inset, self.half_width * 0.66 - inset, 1e6)
        )
        gutters = peritoneum & (core > 1) & (self.z < 75)
        pelvis = peritoneum & (self.z < -200 + 1.5 * thickness)
        self.hu[gutters | pelvis] = _FLUID + self.rng.uniform(-4, 6)

    def paint_organs(self, where: Mask) -> None:
        self.liver = self.jitter(-66, -4, 4, mm=5)
        liver = where & (self.ellipsoid(self.liver, self.jitter(78, 72, 70, mm=4)) < 1)
        hu = self.enhanced("liver")
        if self.truth.finding("hepatic steatosis"):
            hu -= _STEATOSIS_DROP[self.phase] * (
                0.8 + 0.4 * (self.severity("hepatic steatosis", 0, 1) or 0)
            )
        self.hu[liver] = self.liver_hu = hu
        self.organs["liver"] = liver
        scale = self.severity("splenomegaly", 1.4, 1.75) or self.rng.uniform(0.85, 1.08)
        radii = (25 * scale, 40 * scale, 42 * scale)
        spleen = where & (self.ellipsoid(self.jitter(98, 38, 6, mm=5), radii) < 1)
        self.hu[spleen] = self.enhanced("spleen")
        self.paint_urinary_tract(where)
        self.paint_vessels(where)

    def paint_urinary_tract(self, where: Mask) -> None:
        sides: tuple[tuple[OneSide, int], ...] = (("right", -1), ("left", 1))
        for side, sign in sides:
            x, y, z = self.kidneys[side] = self.jitter(sign * 58, 48, -62, mm=5)
            kidney = where & (self.ellipsoid((x, y, z), self.jitter(27, 25, 50, mm=3)) < 1)
            self.hu[kidney] = self.enhanced("kidney")
            pelvis = kidney & (self.ellipsoid((x - sign * 10, y, z), (10, 9, 18)) < 1)
            self.hu[pelvis] = self.enhanced("renal pelvis")
        bladder = self.ellipsoid(self.jitter(0, -20, -235, mm=5), self.jitter(42, 34, 32, mm=6))
        self.hu[where & (bladder < 1)] = self.enhanced("bladder")

    def paint_vessels(self, where: Mask) -> None:
        for tissue, x, y, radius, top in (("blood", 10, 46, 11, 190), ("veins", -22, 40, 12, 75)):
            cx, cy = self.jitter(x, y, mm=3)
            tube = ((self.x - cx) ** 2 + (self.y - cy) ** 2 < radius**2) & (self.z < top)
            tube = tube & (self.z > -150)
            hu = self.enhanced(tissue)
            self.hu[np.broadcast_to(tube, where.shape) & self.cavity] = hu
            if tissue == "blood":
                self.aorta, self.blood_hu = (cx, cy), hu

    def paint_skeleton(self) -> None:
        bone = _BONE * self.rng.uniform(0.7, 1.1)
        spine = (self.x / 21) ** 2 + ((self.y - 82) / 19) ** 2 < 1
        disc = np.abs(np.mod(self.z, 34) - 17) < 4
        self.spine = np.broadcast_to(spine, self.hu.shape)
        self.hu[self.spine] = 0.55 * bone
        self.hu[self.spine & disc] = 90
        shell = self.ellipsoid((0, 8, 40), (self.half_width - 24, 90 * self.build, 240))
        ribs = (np.abs(shell - 1) < 0.09) & (np.mod(self.z + 0.35 * self.y, 27) < 9)
        self.hu[np.broadcast_to(ribs & (self.z > 20), self.hu.shape) & (self.hu > _AIR)] = bone
        for sign in (-1, 1):
            wing = self.ellipsoid((sign * 92, 30, -190), (34, 52, 62))
            self.hu[(np.abs(wing - 1) < 0.22) & (self.hu > _AIR)] = bone

    def plant(self, rng: np.random.Generator) -> Iterator[Finding]:
        """Plant focal findings; bone stays bone."""
        effusion = self.truth.finding("pleural effusion")
        landmarks = Landmarks(
            scale=self.size,
            dome=self.dome,
            lung_x=self.lung_x,
            liver=self.liver,
            kidneys=self.kidneys,
            aorta=self.aorta,
            liver_hu=self.liver_hu,
            blood_hu=self.blood_hu,
            effusion=effusion.side if effusion else None,
        )
        self.organs["cavity"] = self.cavity & ~self.spine
        for lesion in draw_lesions(landmarks, rng):
            where = self.organs[lesion.organ] & (self.ellipsoid(lesion.centre, lesion.radii) < 1)
            self.hu[where] = lesion.hu
            yield Finding(lesion.name, lesion.side, lesion.extent, lesion.place, lesion.size_mm)
