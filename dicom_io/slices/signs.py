"""Values whose sign cannot be meant as PixelRepresentation says it.

JPEG, JPEG-LS, RLE and uncompressed values say nothing of a sign. Some writers put two's complement
under PixelRepresentation 0, and air becomes brighter than any metal; or unsigned values under 1,
and bone becomes darker than air.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicom_io.errors import UnreadableImage
from dicom_io.slices.slices import Slice

# No scale of CT goes farther than 16 bits with a sign
_BRIGHTEST_HU = 2**15 - 1
# The corners lie outside the patient: nothing there is brighter than a scale of 12 bits
_END_OF_12_BITS_HU = 3071
# Values that begin above it hold no air, which fills a part of every image
_NO_AIR_HU, _SOME_AIR = -500, 0.05
# A scale that ends here, as 12 bits with a sign and an intercept of -1024 do, holds no dense bone
_NO_BONE_HU, _MOSTLY = 1100, 0.5
# Air with its noise, and a few streaks that are darker
_DARKEST_HU, _MOST_DARKER = -1300, 0.05


def as_meant(stored: NDArray[Any], one: Slice) -> NDArray[Any]:
    """Stored values, with the sign that makes a CT image where only one does.

    Raises
    ------
    UnreadableImage
        Neither makes one.
    """
    bits = one.layout.bits_stored
    if stored.dtype.kind == "i":
        return _without_sign(stored, one)
    upper = stored >= 2 ** (bits - 1)
    if stored.dtype.kind != "u" or one.slope <= 0 or not upper.any():
        return stored
    brightest = float(stored.max()) * one.slope + one.intercept
    if brightest <= _BRIGHTEST_HU and not _shows_no_air(stored, upper, one):
        return stored
    signed: NDArray[Any] = stored.astype(np.int64) - upper * 2**bits
    dark = signed[upper]
    values, counts = np.unique(dark, return_counts=True)
    tissue = dark[dark != values[counts.argmax()]] * one.slope + one.intercept  # without padding
    darkest = float(dark.min()) * one.slope + one.intercept
    few_darker = (tissue < _DARKEST_HU).sum() <= _MOST_DARKER * len(tissue)
    if darkest <= _NO_AIR_HU and few_darker:
        return signed
    if brightest > _BRIGHTEST_HU:
        raise UnreadableImage(f"its values reach {brightest:.0f} HU, and are no signed ones")
    return stored


def _without_sign(stored: NDArray[Any], one: Slice) -> NDArray[Any]:
    """Signed values as unsigned ones, where their scale ends below bone and bone is below air."""
    bits = one.layout.bits_stored
    negative = stored < 0
    ends_hu = (2 ** (bits - 1) - 1) * one.slope + one.intercept
    if one.slope <= 0 or ends_hu > _NO_BONE_HU or not negative.any():
        return stored
    inside = negative & (stored != stored[0, 0])  # a corner shows padding, if there is any
    dark = stored[inside] * one.slope + one.intercept
    if len(dark) and (dark < _DARKEST_HU).mean() > _MOSTLY:
        unsigned: NDArray[Any] = stored.astype(np.int64) + negative * 2**bits
        return unsigned
    return stored


def _shows_no_air(stored: NDArray[Any], upper: NDArray[np.bool_], one: Slice) -> bool:
    """Whether there can be none, or the corners are too bright, and are not named as padding."""
    if one.intercept > _NO_AIR_HU and upper.mean() >= _SOME_AIR:
        return True
    corners = np.ix_([0, -1], [0, -1])
    values = stored[corners]
    named = one.padding is not None and min(one.padding) <= values.min() <= max(one.padding)
    bright = float(np.median(values)) * one.slope + one.intercept > _END_OF_12_BITS_HU
    return bool(upper[corners].all()) and bright and not named
