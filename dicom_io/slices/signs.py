"""Values that a header calls unsigned, and that can only be meant as signed.

JPEG, JPEG-LS, RLE and uncompressed values say nothing of a sign: some writers put two's complement
under PixelRepresentation 0, and air becomes brighter than any metal.
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
# Air with its noise, and a few streaks that are darker
_DARKEST_HU, _MOST_DARKER = -1300, 0.05


def as_meant(stored: NDArray[Any], one: Slice) -> NDArray[Any]:
    """Stored values, as signed ones where only that makes a CT image.

    Raises
    ------
    UnreadableImage
        Neither makes one.
    """
    bits = one.layout.bits_stored
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


def _shows_no_air(stored: NDArray[Any], upper: NDArray[np.bool_], one: Slice) -> bool:
    """Whether there can be none, or the corners are too bright, and are not named as padding."""
    if one.intercept > _NO_AIR_HU and upper.mean() >= _SOME_AIR:
        return True
    corners = np.ix_([0, -1], [0, -1])
    values = stored[corners]
    named = one.padding is not None and min(one.padding) <= values.min() <= max(one.padding)
    bright = float(np.median(values)) * one.slope + one.intercept > _END_OF_12_BITS_HU
    return bool(upper[corners].all()) and bright and not named
