"""How a phantom was scanned: region, position, slices, kernel, and the habits of the scanner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

Region = Literal["head", "chest", "abdomen", "chest and abdomen", "head to pelvis"]
Position = Literal["HFS", "FFS", "HFP"]
"""Head or feet first, on the back or on the front (PS3.3 C.7.3.1.1.2)."""

Choice = TypeVar("Choice")


@dataclass(frozen=True)
class Scanner:
    """What the headers of one manufacturer look like.

    Parameters
    ----------
    manufacturer : str
    soft, sharp : tuple of str
        Names of kernels.
    intercept : int
        Of the stored values.
    signed : bool
        Whether these are.
    image_type : tuple of str
        The values after "AXIAL".
    from_above : bool
        Whether the first image is the uppermost.
    names_region : bool
        Whether Body Part Examined is filled in.
    windows : tuple of (int, int)
        Centre and width.
    """

    manufacturer: str
    soft: tuple[str, ...]
    sharp: tuple[str, ...]
    intercept: int
    signed: bool
    image_type: tuple[str, ...]
    from_above: bool
    names_region: bool
    windows: tuple[tuple[int, int], ...]


SCANNERS = (
    Scanner(
        "GE MEDICAL SYSTEMS",
        ("STANDARD", "SOFT"),
        ("LUNG", "BONE"),
        intercept=-1024,
        signed=True,
        image_type=(),
        from_above=True,
        names_region=True,
        windows=((40, 400),),
    ),
    Scanner(
        "SIEMENS",
        ("B30f", "Br40d"),
        ("B70f", "Bl57d"),
        intercept=-1024,
        signed=False,
        image_type=("CT_SOM5 SPI",),
        from_above=True,
        names_region=True,
        windows=((50, 350), (-600, 1200)),
    ),
    Scanner(
        "Philips",
        ("B", "A"),
        ("YA", "L"),
        intercept=-1024,
        signed=False,
        image_type=("HELIX",),
        from_above=False,
        names_region=False,
        windows=((60, 360), (60, 360)),
    ),
    Scanner(
        "TOSHIBA",
        ("FC08", "FC18"),
        ("FC52", "FC30"),
        intercept=0,
        signed=True,
        image_type=(),
        from_above=False,
        names_region=True,
        windows=((40, 400),),
    ),
)


@dataclass(frozen=True)
class Scan:
    """One acquisition and its reconstruction.

    Parameters
    ----------
    scanner : Scanner
    region, position : str
    kernel : str
        Its name.
    sharp : bool
        Whether the kernel is one for lungs or bone.
    thickness_mm, increment_mm : float
        Of a slice, and from one to the next.
    arms_down : bool
        Whether the arms lie in the field of view.
    """

    scanner: Scanner
    region: Region
    position: Position
    kernel: str
    sharp: bool
    thickness_mm: float
    increment_mm: float
    arms_down: bool

    @property
    def down(self) -> Literal[1, -1]:
        """Where things sink to along y, which grows to the back."""
        return -1 if self.position == "HFP" else 1


_REGIONS: dict[Region, float] = {
    "head": 0.05,
    "chest": 0.25,
    "abdomen": 0.25,
    "chest and abdomen": 0.35,
    "head to pelvis": 0.1,
}
_POSITIONS: dict[Position, float] = {"HFS": 0.6, "FFS": 0.25, "HFP": 0.15}
_THICKNESS_MM = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)
_OVERLAP = (1.0, 1.0, 0.8, 0.5)
"""Increment as a fraction of the thickness."""


def draw_scan(rng: np.random.Generator) -> Scan:
    """Draw how a study was scanned."""
    scanner = SCANNERS[rng.integers(len(SCANNERS))]
    region = _drawn(_REGIONS, rng)
    sharp = bool(rng.random() < 0.3)
    names = scanner.sharp if sharp else scanner.soft
    thickness = _THICKNESS_MM[rng.integers(len(_THICKNESS_MM))]
    return Scan(
        scanner,
        region,
        position=_drawn(_POSITIONS, rng),
        kernel=names[rng.integers(len(names))],
        sharp=sharp,
        thickness_mm=thickness,
        increment_mm=thickness * _OVERLAP[rng.integers(len(_OVERLAP))],
        arms_down=bool(rng.random() < 0.2),
    )


def _drawn(weights: dict[Choice, float], rng: np.random.Generator) -> Choice:
    return list(weights)[rng.choice(len(weights), p=list(weights.values()))]
