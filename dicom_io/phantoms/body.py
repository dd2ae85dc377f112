"""One simple body in plausible HU, painted organ by organ.

Patient coordinates are mm, LPS (PS3.3 C.7.6.2.1.1): x grows to the patient's left, y to the back,
z to the head. The origin lies in the middle of the abdomen.
"""

from __future__ import annotations

from binascii import crc32
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dicom_io.phantoms.focal import Landmarks, OneSide, Point
from dicom_io.phantoms.truth import PHASES, Truth

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
Box = tuple[slice, slice, slice]
"""Part of a volume."""


def cut(array: Array, box: Box) -> Array:
    """The part of an array in a box; an axis of length 1 stays, to be broadcast."""
    return array[tuple(s if n > 1 else slice(None) for s, n in zip(box, array.shape, strict=True))]


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
    down : {1, -1}
        Where fluid sinks to along y: to the back of who lies on the back, else to the front.
    """

    def __init__(
        self,
        grid: tuple[Array, Array, Array],
        truth: Truth,
        streams: Streams,
        *,
        down: Literal[1, -1] = 1,
    ) -> None:
        self.truth, self.streams, self.down = truth, streams, down
        self.rng = streams["body"]
        self.regions: dict[str, Mask] = {}
        self.phase = PHASES.index(truth.phase)
        self.size = size = self.rng.uniform(0.88, 1.1)
        self.organs: dict[str, Mask] = {}
        self.kidneys: dict[OneSide, Point] = {}
        angle = self.rng.uniform(-0.07, 0.07)
        x, y, self.z = self.lines = tuple(axis / size for axis in grid)
        self.turn = float(np.cos(angle)), float(np.sin(angle))
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

    def box(self, centre: Point, radii: Point) -> Box:
        """Bound an ellipsoid, so that only the voxels around it are looked at."""
        (cos, sin), (x, y, z), (rx, ry, rz) = self.turn, centre, radii
        # the body is turned within its grid
        middle = (x * cos - y * sin, x * sin + y * cos, z)
        reach = (rx * cos + ry * abs(sin), ry * cos + rx * abs(sin), rz)
        box = [slice(None)] * 3
        for line, at, far in zip(self.lines, middle, reach, strict=True):
            along = int(np.argmax(line.shape))
            within = np.flatnonzero(np.abs(line.ravel() - at) <= 1.001 * far)  # float32 rounds
            box[along] = slice(within[0], within[-1] + 1) if len(within) else slice(0, 0)
        return box[0], box[1], box[2]

    def axes(self, box: Box | None = None) -> tuple[Array, Array, Array]:
        """Return x, y and z of all voxels, or of those in a box."""
        if box is None:
            return self.x, self.y, self.z
        return cut(self.x, box), cut(self.y, box), cut(self.z, box)

    def ellipsoid(self, centre: Point, radii: Point, box: Box | None = None) -> Array:
        """Signed radius: below 1 inside.

        Parameters
        ----------
        centre, radii : tuple of float
            Along x, y and z, in the body's own millimetres.
        box : tuple of slice, optional
            The voxels that are wanted; all by default.
        """
        squares: list[Array] = [
            np.abs((axis - c) / r) ** 2
            for axis, c, r in zip(self.axes(box), centre, radii, strict=True)
        ]
        return squares[0] + squares[1] + squares[2]

    def inside(self, centre: Point, radii: Point, where: Mask) -> Mask:
        """Return the voxels of an ellipsoid that lie in another region.

        Parameters
        ----------
        centre, radii : tuple of float
            Along x, y and z, in the body's own millimetres.
        where : ndarray of bool
        """
        box = self.box(centre, radii)
        within = np.zeros(self.hu.shape, np.bool_)
        within[box] = where[box] & (self.ellipsoid(centre, radii, box) < 1)
        return within

    def fill(self, where: Mask, hu: float) -> None:
        """Paint a region in one value."""
        np.copyto(self.hu, np.float32(hu), where=where)

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
        trunk = self.ellipsoid((0, 10, 0), (half_width, half_depth, 1e6))
        self.fill(trunk < 1, _FAT)
        fat = self.rng.uniform(10, 28)
        inner = self.ellipsoid((0, 10, 0), (half_width - fat, half_depth - fat, 1e6))
        self.fill(inner < 1, _MUSCLE)
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
            centre, radii = (sign * centre_x, 5, dome - 20), (radius_x, 92, top - dome)
            lung = self.inside(centre, radii, self.chest)
            diaphragm = dome - 0.004 * ((self.x - sign * 70) ** 2 + (self.y - 0) ** 2)
            lung &= self.z > diaphragm
            self.begin(f"{side} lung")
            self.fill(lung, _LUNG + self.rng.uniform(-30, 30))
            self.organs[f"{side} lung"] = lung
            self.paint_effusion(lung, side)
        mediastinum = self.chest & (np.abs(self.x) < 14) & (np.abs(self.z - 120) < 110)
        self.fill(mediastinum, _FAT + 60)
        self.paint_heart(dome)

    def paint_effusion(self, lung: Mask, side: str) -> None:
        finding = self.truth.finding("pleural effusion")
        if finding is None or finding.side not in (side, "bilateral"):
            return
        self.begin(f"{side} effusion")
        depth = 18 + 55 * finding.extent * self.rng.uniform(0.8, 1.2)
        level = 92 - depth
        meniscus = self.down * self.y + 0.0006 * self.x**2 - 0.14 * (self.z - 60)
        fluid = lung & (meniscus > level)
        self.fill(fluid, _FLUID + self.rng.uniform(-5, 8))
        self.mark("pleural effusion", fluid)

    def paint_heart(self, dome: float) -> None:
        self.begin("heart")
        usual = self.rng.uniform(0.9, 1.08)
        scale = self.severity("cardiomegaly", 1.32, 1.62) or usual
        x, y, z = self.jitter(20, -28, dome + 36, mm=4)
        radii = tuple(r * scale for r in self.jitter(50, 40, 42, mm=2.5))
        heart = self.inside((x, y, z), radii, self.cavity)
        self.fill(heart, 0.75 * self.enhanced("blood") + 0.25 * _MUSCLE)
        self.mark("cardiomegaly", heart)
        self.organs["heart"] = heart
        wall = self.inside((x, y, z), tuple(0.8 * r for r in radii), self.cavity)
        self.fill(heart & ~wall, 0.3 * self.enhanced("blood") + 45)

    def paint_abdomen(self) -> None:
        below = self.cavity & (self.hu == _MUSCLE) & (self.z < 110)
        above_pelvis = self.z > -230
        self.begin("peritoneum")
        peritoneum = below & (self.hu == _MUSCLE)
        self.fill(peritoneum, _FAT + self.rng.uniform(-8, 12))
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
            loop = self.inside(centre, radii, where)
            self.fill(loop, self.rng.uniform(20, 45))
            above = (centre[0], centre[1] - 5 * self.down, centre[2])
            if self.rng.random() < 0.5:
                self.fill(self.inside(above, tuple(0.45 * r for r in radii), loop), -800)

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
        self.fill(gutters | pelvis, _FLUID + self.rng.uniform(-4, 6))
        self.mark("ascites", gutters | pelvis)

    def paint_organs(self, where: Mask) -> None:
        self.begin("liver")
        self.liver = self.jitter(-66, -4, 4, mm=5)
        liver = self.inside(self.liver, self.jitter(78, 72, 70, mm=4), where)
        hu = self.enhanced("liver")
        if self.truth.finding("hepatic steatosis"):
            hu -= _STEATOSIS_DROP[self.phase] * (
                0.8 + 0.4 * (self.severity("hepatic steatosis", 0, 1) or 0)
            )
        self.liver_hu = hu
        self.fill(liver, hu)
        self.organs["liver"] = liver
        self.mark("hepatic steatosis", liver)
        self.begin("spleen")
        usual = self.rng.uniform(0.85, 1.08)
        scale = self.severity("splenomegaly", 1.4, 1.75) or usual
        radii = (25 * scale, 40 * scale, 42 * scale)
        spleen = self.inside(self.jitter(98, 38, 6, mm=5), radii, where)
        self.fill(spleen, self.enhanced("spleen"))
        self.mark("splenomegaly", spleen)
        self.organs["spleen"] = spleen
        self.paint_urinary_tract(where)
        self.paint_vessels(where)

    def paint_urinary_tract(self, where: Mask) -> None:
        self.begin("urinary tract")
        sides: tuple[tuple[OneSide, int], ...] = (("right", -1), ("left", 1))
        for side, sign in sides:
            x, y, z = self.kidneys[side] = self.jitter(sign * 58, 48, -62, mm=5)
            kidney = self.inside((x, y, z), self.jitter(27, 25, 50, mm=3), where)
            self.fill(kidney, self.enhanced("kidney"))
            self.organs[f"{side} kidney"] = kidney
            pelvis = self.inside((x - sign * 10, y, z), (10, 9, 18), kidney)
            self.fill(pelvis, self.enhanced("renal pelvis"))
        centre = self.jitter(0, -20, -235, mm=5)
        bladder = self.inside(centre, self.jitter(42, 34, 32, mm=6), where)
        self.fill(bladder, self.enhanced("bladder"))

    def paint_vessels(self, where: Mask) -> None:
        self.begin("vessels")
        for tissue, x, y, radius, top in (("blood", 10, 46, 11, 190), ("veins", -22, 40, 12, 75)):
            cx, cy = self.jitter(x, y, mm=3)
            tube = ((self.x - cx) ** 2 + (self.y - cy) ** 2 < radius**2) & (self.z < top)
            tube = tube & (self.z > -150)
            hu = self.enhanced(tissue)
            self.fill(tube & self.cavity, hu)
            if tissue == "blood":
                self.aorta, self.blood_hu = (cx, cy), hu

    def paint_skeleton(self) -> None:
        self.begin("skeleton")
        bone = _BONE * self.rng.uniform(0.7, 1.1)
        spine = (self.x / 21) ** 2 + ((self.y - 82) / 19) ** 2 < 1
        disc = np.abs(np.mod(self.z, 34) - 17) < 4
        self.spine = np.broadcast_to(spine, self.hu.shape)
        self.fill(self.spine, 0.55 * bone)
        self.fill(self.spine & disc, 90)
        chest, radii = (0, 8, 40), (self.half_width - 24, 90 * self.build, 240)
        self.paint_shell(chest, radii, 0.09, bone, ribs=True)
        for sign in (-1, 1):
            self.paint_shell((sign * 92, 30, -190), (34, 52, 62), 0.22, bone)

    def paint_shell(
        self, centre: Point, radii: Point, thickness: float, hu: float, *, ribs: bool = False
    ) -> None:
        """Paint bone around an ellipsoid, inside the body.

        Parameters
        ----------
        centre, radii : tuple of float
        thickness : float
            As a fraction of the radii.
        hu : float
        ribs : bool
            Only ribs of it, above the abdomen.
        """
        box = self.box(centre, tuple(r * (1 + thickness) for r in radii))
        _, y, z = self.axes(box)
        shell = np.abs(self.ellipsoid(centre, radii, box) - 1) < thickness
        if ribs:
            shell = shell & (np.mod(z + 0.35 * y, 27) < 9) & (z > 20)
        part = self.hu[box]
        np.copyto(part, np.float32(hu), where=shell & (part > _AIR))

    def landmarks(self, effusion: str | None) -> Landmarks:
        """What focal findings are placed by, where an effusion covers a side or both."""
        return Landmarks(
            scale=self.size,
            dome=self.dome,
            lung_x=self.lung_x,
            liver=self.liver,
            kidneys=self.kidneys,
            aorta=self.aorta,
            liver_hu=self.liver_hu,
            blood_hu=self.blood_hu,
            effusion=effusion,
        )
