"""Volumes that no model of phantoms was trained on, made of phantoms.

Each keeps the phantom's affine, so that its header says of it what is said of the phantom.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dicom_io.phantoms.phantom import make_phantom
from dicom_io.types import Volume
from dicom_io.volume.orientation import HEAD, LEFT, POSTERIOR, patient_axes

HU = NDArray[np.float32]
Maker = Callable[[Volume, np.random.Generator], HU]
AIR, WATER = -1000.0, 0.0


def disfigured(make: Maker, seed: int) -> Volume:
    """Make a foreign volume of the phantom of a seed, in values that a scanner can store."""
    phantom = make_phantom(seed).volume
    own = replace(phantom, hu=phantom.hu.astype(np.float32))
    hu = make(own, np.random.default_rng(seed))
    return replace(phantom, hu=np.rint(np.clip(hu, -1024, 3071)).astype(np.int16))


def flipped(direction: int) -> Maker:
    """Turn a body round against what its header says."""

    def flip(volume: Volume, rng: np.random.Generator) -> HU:
        return np.flip(volume.hu, patient_axes(volume.affine_lps).index(direction))

    return flip


def repeated(times: int) -> Maker:
    """Show one slice in so many, each so many times."""

    def repeat(volume: Volume, rng: np.random.Generator) -> HU:
        return volume.hu[::times].repeat(times, axis=0)[: len(volume.hu)]

    return repeat


def noise(volume: Volume, rng: np.random.Generator) -> HU:
    return rng.normal(0, 300, volume.hu.shape).astype(np.float32)


def uniform(volume: Volume, rng: np.random.Generator) -> HU:
    return rng.uniform(-1024, 1500, volume.hu.shape).astype(np.float32)


def shuffled(volume: Volume, rng: np.random.Generator) -> HU:
    return volume.hu[rng.permutation(len(volume.hu))]


def water_cylinder(volume: Volume, rng: np.random.Generator) -> HU:
    """What a scanner is calibrated with: along the stack, of the phantom's noise."""
    inside = _round(volume, rng.uniform(0.5, 0.9))
    return np.where(inside, WATER, AIR) + _grain(volume, rng)


def rods(volume: Volume, rng: np.random.Generator) -> HU:
    """What image quality is measured with: a cylinder with inserts of several densities."""
    hu = np.where(_round(volume, rng.uniform(0.6, 0.95)), 90.0, AIR)
    rows, columns = np.ogrid[: hu.shape[1], : hu.shape[2]]
    for turn, density in enumerate((-950.0, -90.0, 120.0, 340.0, 950.0)):
        angle = turn * 2 * np.pi / 5
        y, x = (0.5 + 0.25 * f(angle) for f in (np.sin, np.cos))
        near = (rows / hu.shape[1] - y) ** 2 + (columns / hu.shape[2] - x) ** 2 < 0.06**2
        hu[:, near] = density
    return hu.astype(np.float32) + _grain(volume, rng)


def table_alone(volume: Volume, rng: np.random.Generator) -> HU:
    """No body: a thin board in air."""
    hu = np.full_like(volume.hu, AIR)
    back = patient_axes(volume.affine_lps).index(POSTERIOR)
    board = int(hu.shape[back] * rng.uniform(0.7, 0.9))
    np.moveaxis(hu, back, 0)[board : board + 3] = -300.0
    return hu + _grain(volume, rng)


def like_mr(volume: Volume, rng: np.random.Generator) -> HU:
    """Fat brightest, then soft tissue and fluid; bone as dark as air."""
    densities = (-1000.0, -800.0, -100.0, 0.0, 60.0, 200.0, 400.0, 1500.0)
    signal = (-900.0, -850.0, 700.0, 300.0, 120.0, 250.0, -700.0, -900.0)
    return np.interp(volume.hu, densities, signal).astype(np.float32)


def like_pet(volume: Volume, rng: np.random.Generator) -> HU:
    """Broad spots of uptake in a faint body."""
    hu = np.where(volume.hu > -300, -500.0, AIR).astype(np.float32)
    axes = np.ogrid[tuple(slice(n) for n in hu.shape)]
    for _ in range(12):
        at = rng.uniform(0.2, 0.8, 3) * hu.shape
        far = sum(((a - c) / (0.06 * n)) ** 2 for a, c, n in zip(axes, at, hu.shape, strict=True))
        hu += 1500 * np.exp(-far)
    return hu


def turned_in_plane(volume: Volume, rng: np.random.Generator) -> HU:
    """A quarter turn of every slice, stretched to the old matrix."""
    turned = np.rot90(volume.hu, axes=(1, 2))
    rows, columns = (
        np.linspace(0, n - 1, m).round().astype(int)
        for n, m in zip(turned.shape[1:], volume.hu.shape[1:], strict=True)
    )
    return turned[:, rows][:, :, columns]


def another_plane(volume: Volume, rng: np.random.Generator) -> HU:
    """Stack and rows exchanged, stretched to the old matrix."""
    turned = volume.hu.swapaxes(0, 1)
    first, second = (
        np.linspace(0, n - 1, m).round().astype(int)
        for n, m in zip(turned.shape[:2], volume.hu.shape[:2], strict=True)
    )
    return turned[first][:, second]


def windowed(volume: Volume, rng: np.random.Generator) -> HU:
    """What is left of CT that was exported in a soft-tissue window."""
    return volume.hu.clip(-160, 240)


def in_eight_bits(volume: Volume, rng: np.random.Generator) -> HU:
    """Grey values from 0 to 255 where HU should be."""
    return np.round((volume.hu.clip(-160, 240) + 160) / 400 * 255)


def blurred(volume: Volume, rng: np.random.Generator) -> HU:
    """Averaged over 9 x 9 pixels of a slice."""
    hu = volume.hu
    for axis in (1, 2):
        hu = sum(np.roll(hu, shift, axis) for shift in range(-4, 5)) / 9
    return hu


def sharpened(volume: Volume, rng: np.random.Generator) -> HU:
    mean = sum(np.roll(volume.hu, shift, axis) for axis in (1, 2) for shift in (-1, 1)) / 4
    return volume.hu + 2 * (volume.hu - mean)


def salt_and_pepper(volume: Volume, rng: np.random.Generator) -> HU:
    drawn = rng.random(volume.hu.shape)
    return np.where(drawn < 0.02, -1024, np.where(drawn > 0.98, 3071, volume.hu))


def half_missing(volume: Volume, rng: np.random.Generator) -> HU:
    """Air in place of every slice of one half."""
    hu = volume.hu.copy()
    hu[len(hu) // 2 :] = AIR
    return hu


def two_bodies(volume: Volume, rng: np.random.Generator) -> HU:
    """Every other slice is another patient's."""
    other = make_phantom(int(rng.integers(10_000_000, 20_000_000))).volume.hu
    at = np.ix_(*(np.linspace(0, n - 1, m).round().astype(int) for n, m in _both(other, volume)))
    hu = volume.hu.copy()
    hu[1::2] = other[at][1::2]
    return hu


def moved(volume: Volume, rng: np.random.Generator) -> HU:
    """Every slice lies elsewhere, as if the patient had turned to and fro."""
    far = volume.hu.shape[2] // 6
    return np.stack([np.roll(s, rng.integers(-far, far + 1), axis=1) for s in volume.hu])


def one_slice(volume: Volume, rng: np.random.Generator) -> HU:
    """The same slice throughout."""
    return np.broadcast_to(volume.hu[len(volume.hu) // 2], volume.hu.shape).copy()


def streaks(volume: Volume, rng: np.random.Generator) -> HU:
    """Bright and dark rays from a piece of metal."""
    rows, columns = np.ogrid[-1 : 1 : volume.hu.shape[1] * 1j, -1 : 1 : volume.hu.shape[2] * 1j]
    angle, radius = np.arctan2(rows, columns), np.hypot(rows, columns)
    return volume.hu + 400 * np.sin(12 * angle) * np.exp(-radius) + 3000 * (radius < 0.05)


def ellipsoids(volume: Volume, rng: np.random.Generator) -> HU:
    """Fifteen bodies of soft tissue anywhere in air, no anatomy."""
    hu = np.full_like(volume.hu, AIR)
    axes = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in hu.shape)]
    for _ in range(15):
        centre, radii = rng.uniform(-0.6, 0.6, 3), rng.uniform(0.1, 0.5, 3)
        far = sum(((a - c) / r) ** 2 for a, c, r in zip(axes, centre, radii, strict=True))
        hu[far < 1] = rng.uniform(-120, 300)
    return hu + _grain(volume, rng)


def _round(volume: Volume, radius: float) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[-1 : 1 : volume.hu.shape[1] * 1j, -1 : 1 : volume.hu.shape[2] * 1j]
    inside: NDArray[np.bool_] = np.broadcast_to(np.hypot(rows, columns) < radius, volume.hu.shape)
    return inside


def _grain(volume: Volume, rng: np.random.Generator) -> HU:
    return rng.normal(0, 20, volume.hu.shape).astype(np.float32)


def _both(one: HU, other: Volume) -> list[tuple[int, int]]:
    return list(zip(one.shape, other.hu.shape, strict=True))


DEVELOPED: dict[str, Maker] = {
    "noise": noise,
    "air": lambda volume, rng: np.full_like(volume.hu, AIR),
    "inverted HU": lambda volume, rng: -volume.hu,
    "300 HU too high": lambda volume, rng: volume.hu + 300,
    "stored values, not HU": lambda volume, rng: volume.hu + 1024,
    "half the HU": lambda volume, rng: volume.hu * 0.5,
    "MR-like contrast": like_mr,
    "water cylinder": water_cylinder,
    "no body": table_alone,
    "upside down": flipped(HEAD),
    "slices shuffled": shuffled,
    "every eighth slice repeated": repeated(8),
}
"""On which the mechanism was developed."""

HELD_BACK: dict[str, Maker] = {
    "uniform noise": uniform,
    "twice the HU": lambda volume, rng: volume.hu * 2,
    "200 HU too low": lambda volume, rng: volume.hu - 200,
    "PET-like contrast": like_pet,
    "a soft-tissue window only": windowed,
    "grey values of 8 bits": in_eight_bits,
    "cylinder with rods": rods,
    "ellipsoids": ellipsoids,
    "on the front, said on the back": flipped(POSTERIOR),
    "left and right exchanged": flipped(LEFT),
    "a quarter turn": turned_in_plane,
    "another plane": another_plane,
    "every fourth slice repeated": repeated(4),
    "every sixteenth slice repeated": repeated(16),
    "one slice throughout": one_slice,
    "half of the slices air": half_missing,
    "two bodies": two_bodies,
    "slices moved": moved,
    "blurred": blurred,
    "sharpened": sharpened,
    "salt and pepper": salt_and_pepper,
    "metal": streaks,
}
"""Which were made beside them, and looked at when it was final."""
