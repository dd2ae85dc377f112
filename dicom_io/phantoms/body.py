"""One simple body in plausible HU, painted organ by organ.

Patient coordinates are mm, LPS (PS3.3 C.7.6.2.1.1): x grows to the patient's left, y to the back,
z to the head. The origin lies in the middle of the abdomen.
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from dicom_io.phantoms.focal import Landmarks, OneSide, Point, draw_lesions
from dicom_io.phantoms.truth import PHASES, Finding, Truth

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

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Streams:
    """Random streams of one seed, each known by its name and independent of the others.

    Parameters
    ----------
    seed : int
        Of the phantom.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __getitem__(self, name: str) -> np.random.Generator:
        """Begin the stream of a name."""
        return np.random.default_rng((self._seed, crc32(name.encode())))


class Body:
    """Paints one body from the outside in; later organs overwrite earlier ones.

    The landmarks are in the body's own millimetres, like x, y and z.

    Parameters
    ----------
    grid : tuple of ndarray
        x, y and z of the voxels in mm, which broadcast to the shape of the volume.
    truth : Truth
        What the body is to show.
    streams : Streams
        What the painters draw from.
    """

    def __init__(self, grid: tuple[Array, Array, Array], truth: Truth, streams: Streams) -> None:
        self.truth, self.streams = truth, streams
        self.rng = streams["body"]
        self.regions: dict[str, Mask] = {}
        self.phase = PHASES.index(truth.phase)
        self.size = size = self.rng.uniform(0.88, 1.1)
        self.organs: dict[str, Mask] = {}
        self.kidneys: dict[OneSide, Point] = {}
        angle = self.rng.uniform(-0.07, 0.07)
        x, y, self.z = (axis / size for axis in grid)
        self.x = x * np.cos(angle) + y * np.sin(angle)
        self.y = y * np.cos(angle) - x * np.sin(angle)
        self.hu = np.full(np.broadcast_shapes(*(a.shape for a in grid)), _AIR, np.float32)
        self.build = self.rng.uniform(0.95, 1.12)
        self.paint_trunk()
        self.paint_chest()
        self.paint_abdomen()
        self.paint_skeleton()

    def begin(self, painter: str) -> None:
        """Draw from the painter's own stream from here on."""
        self.rng = self.streams[painter]

    def mark(self, name: str, where: Mask) -> None:
        """Remember where a finding lies; an effusion may lie on two sides."""
        if self.truth.finding(name):
            known = self.regions.get(name)
            self.regions[name] = where if known is None else known | where

    def jitter(self, *values: float, mm: float = 5.0) -> Point:
        return tuple(v + self.rng.uniform(-mm, mm) for v in values)

    def ellipsoid(
        self, centre: tuple[float, ...], radii: tuple[float, ...], *, power: int = 2
    ) -> Array:
        """Signed radius: below 1 inside.

        Parameters
        ----------
        centre, radii : tuple of float
            Along x, y and z, in the body's own millimetres.
        power : int
            2 is an ellipsoid; more is nearer to a box.
        """
        squares: list[Array] = [
            np.abs((axis - c) / r) ** power
            for axis, c, r in zip((self.x, self.y, self.z), centre, radii, strict=True)
        ]
        return squares[0] + squares[1] + squares[2]

    def enhanced(self, tissue: str, *, spread: float = 0.06) -> float:
        value = _ENHANCEMENT[tissue][self.phase]
        return float(value * self.rng.uniform(1 - spread, 1 + spread))

    def severity(self, name: str, low: float, high: float) -> float | None:
        """How far a finding goes; None where it is not there.

        Parameters
        ----------
        name : str
            Of the finding.
        low, high : float
            What an extent of 0 and of 1 come to.
        """
        finding = self.truth.finding(name)
        return None if finding is None else low + (high - low) * finding.extent

    def paint_trunk(self) -> None:
        self.begin("trunk")
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
        self.begin("chest")
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
            self.begin(f"{side} lung")
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
        self.begin(f"{side} effusion")
        depth = 18 + 55 * finding.extent * self.rng.uniform(0.8, 1.2)
        level = 92 - depth
        meniscus = self.y + 0.0006 * self.x**2 - 0.14 * (self.z - 60)
        fluid = lung & (meniscus > level)
        self.hu[fluid] = _FLUID + self.rng.uniform(-5, 8)
        self.mark("pleural effusion", fluid)

    def paint_heart(self, dome: float) -> None:
        self.begin("heart")
        usual = self.rng.uniform(0.9, 1.08)
        scale = self.severity("cardiomegaly", 1.32, 1.62) or usual
        x, y, z = self.jitter(20, -28, dome + 36, mm=4)
        radii = tuple(r * scale for r in self.jitter(50, 40, 42, mm=2.5))
        heart = self.cavity & (self.ellipsoid((x, y, z), radii) < 1)
        self.hu[heart] = 0.75 * self.enhanced("blood") + 0.25 * _MUSCLE
        self.mark("cardiomegaly", heart)
        wall = self.cavity & (self.ellipsoid((x, y, z), tuple(0.8 * r for r in radii)) < 1)
        self.hu[heart & ~wall] = 0.3 * self.enhanced("blood") + 45

    def paint_abdomen(self) -> None:
        below = self.cavity & (self.hu == _MUSCLE) & (self.z < 110)
        above_pelvis = self.z > -230
        self.begin("peritoneum")
        peritoneum = below & (self.hu == _MUSCLE)
        self.hu[peritoneum] = _FAT + self.rng.uniform(-8, 12)
        self.paint_bowel(peritoneum & above_pelvis)
        self.paint_ascites(peritoneum)
        self.paint_organs(self.cavity & (self.hu > _LUNG + 60))

    def paint_bowel(self, where: Mask) -> None:
        self.begin("bowel")
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
        self.begin("ascites")
        inset = 40 + thickness
        core = self.ellipsoid(
            (0, -12, 0), (self.half_width - inset, self.half_width * 0.66 - inset, 1e6)
        )
        gutters = peritoneum & (core > 1) & (self.z < 75)
        pelvis = peritoneum & (self.z < -200 + 1.5 * thickness)
        self.hu[gutters | pelvis] = _FLUID + self.rng.uniform(-4, 6)
        self.mark("ascites", gutters | pelvis)

    def paint_organs(self, where: Mask) -> None:
        self.begin("liver")
        self.liver = self.jitter(-66, -4, 4, mm=5)
        liver = where & (self.ellipsoid(self.liver, self.jitter(78, 72, 70, mm=4)) < 1)
        hu = self.enhanced("liver")
        if self.truth.finding("hepatic steatosis"):
            hu -= _STEATOSIS_DROP[self.phase] * (
                0.8 + 0.4 * (self.severity("hepatic steatosis", 0, 1) or 0)
            )
        self.hu[liver] = self.liver_hu = hu
        self.organs["liver"] = liver
        self.mark("hepatic steatosis", liver)
        self.begin("spleen")
        usual = self.rng.uniform(0.85, 1.08)
        scale = self.severity("splenomegaly", 1.4, 1.75) or usual
        radii = (25 * scale, 40 * scale, 42 * scale)
        spleen = where & (self.ellipsoid(self.jitter(98, 38, 6, mm=5), radii) < 1)
        self.hu[spleen] = self.enhanced("spleen")
        self.mark("splenomegaly", spleen)
        self.paint_urinary_tract(where)
        self.paint_vessels(where)

    def paint_urinary_tract(self, where: Mask) -> None:
        self.begin("urinary tract")
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
        self.begin("vessels")
        for tissue, x, y, radius, top in (("blood", 10, 46, 11, 190), ("veins", -22, 40, 12, 75)):
            cx, cy = self.jitter(x, y, mm=3)
            tube = ((self.x - cx) ** 2 + (self.y - cy) ** 2 < radius**2) & (self.z < top)
            tube = tube & (self.z > -150)
            hu = self.enhanced(tissue)
            self.hu[np.broadcast_to(tube, where.shape) & self.cavity] = hu
            if tissue == "blood":
                self.aorta, self.blood_hu = (cx, cy), hu

    def paint_skeleton(self) -> None:
        self.begin("skeleton")
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

    def plant(
        self, drawn: Truth, rng: np.random.Generator, without: Collection[str]
    ) -> Iterator[Finding]:
        """Plant focal findings; bone stays bone.

        Parameters
        ----------
        drawn : Truth
            What the seed drew, left out or not: a nodule lies where an effusion would not hide it.
        rng : Generator
            Draws the same whatever is left out.
        without : collection of str
            What is left out.
        """
        effusion = drawn.finding("pleural effusion")
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
            if lesion.name in without:
                continue
            where = self.organs[lesion.organ] & (self.ellipsoid(lesion.centre, lesion.radii) < 1)
            self.hu[where] = lesion.hu
            self.regions[lesion.name] = where
            yield Finding(lesion.name, lesion.side, lesion.extent, lesion.place, lesion.size_mm)
