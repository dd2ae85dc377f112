"""Look for text that is burned into the pixels of a series."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SLICES = 16
"""That are looked at together, by their brightest values: text is bright, often on all slices."""

_LOWEST_HU, _HIGHEST_HU = -1000.0, 1000.0
_SURE = 0.6
_FEWEST_CHARACTERS = 4
"""Ribs and vertebrae are taken for an 8 or an 0."""


def holds_text(hu: NDArray[Any]) -> bool:
    """Whether letters or digits can be read in a series.

    Parameters
    ----------
    hu : ndarray, shape (D, H, W)
        As it was acquired, in Hounsfield units.
    """
    return any(_readable(picture) for picture in _pictures(hu))


def _pictures(hu: NDArray[Any]) -> Iterator[NDArray[np.uint8]]:
    for first in range(0, len(hu), _SLICES):
        brightest = hu[first : first + _SLICES].max(axis=0).astype(np.float32)
        grey = (brightest - _LOWEST_HU) / (_HIGHEST_HU - _LOWEST_HU)
        yield np.repeat((grey.clip(0, 1) * 255).astype(np.uint8)[:, :, None], 3, axis=2)


def _readable(picture: NDArray[np.uint8]) -> bool:
    found, _ = _reader()(picture, use_cls=False)
    return any(
        float(score) >= _SURE and sum(map(str.isalnum, text)) >= _FEWEST_CHARACTERS
        for _, text, score in found or ()
    )


@cache
def _reader() -> Any:
    """RapidOCR, whose weights are in its wheel."""
    from rapidocr_onnxruntime import RapidOCR

    return RapidOCR()
