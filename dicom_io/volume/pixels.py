"""Stored pixel values, decoded and turned into Hounsfield units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_io.errors import IncompleteSeries, UnsupportedTransferSyntax
from dicom_io.values import whole_number
from dicom_io.volume.slices import Slice

AIR_HU = -1024
"""What stands outside the measured field of view; the lowest value of a 12-bit CT scale."""

# Of lung to that of metal, as a 12-bit CT scale ends there
_LEAST_TISSUE_HU, _MOST_TISSUE_HU = -1000, 3071

_LITTLE_ENDIAN = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)
_LAYOUT = ("SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")


def hu_of_slices(slices: Sequence[Slice]) -> Iterator[NDArray[Any]]:
    """Decode one slice after the other: (H, W) of int32, or float32 where HU are not whole."""
    path, dataset = None, Dataset()
    for one in slices:
        stored = _plain(one)
        if stored is None:
            if one.instance.path != path:
                path = one.instance.path
                dataset = pydicom.dcmread(path, force=True)
            stored = _decode(one, dataset)
        yield _hu(one, stored)


def _plain(one: Slice) -> NDArray[Any] | None:
    """Stored values of a slice in the usual form, straight from its file; None: to be decoded.

    The usual form is 16 bits in little-endian order, one sample, no unused bits below. Most CT is
    stored so, and pydicom would read and check the whole file once more.
    """
    header = one.instance.header
    if header.file_meta.TransferSyntaxUID not in _LITTLE_ENDIAN or not one.instance.pixel_data:
        return None
    start, length = one.instance.pixel_data
    layout = [whole_number(header, keyword, -1) for keyword in _LAYOUT]
    samples, allocated, stored_bits, high_bit, signed = layout
    count = one.shape[0] * one.shape[1]
    frame = one.frame or 0
    usual = (samples, allocated, high_bit) == (1, 16, stored_bits - 1) and signed in (0, 1)
    if not usual or not 0 < stored_bits <= 16 or length < 2 * count * (frame + 1):
        return None
    if header.get("PhotometricInterpretation") not in ("MONOCHROME1", "MONOCHROME2"):
        return None
    dtype = np.dtype("<i2" if signed else "<u2")
    stored = np.fromfile(one.instance.path, dtype, count, offset=start + 2 * count * frame)
    if unused := 16 - stored_bits:  # above the sign, and of any value (PS3.5 8.1.1)
        stored <<= unused
        stored >>= unused
    return stored.reshape(one.shape) if stored.size == count else None


def _hu(one: Slice, stored: NDArray[Any]) -> NDArray[Any]:
    if one.has_whole_hu:
        hu = stored.astype(np.int32)
        if one.slope != 1:
            hu *= int(one.slope)
        hu += int(one.intercept)
    else:
        hu = (stored * one.slope + one.intercept).astype(np.float32)
    _lower_padding(hu, stored, one)
    return hu


def _decode(one: Slice, dataset: Dataset) -> NDArray[Any]:
    """Stored values of one slice; unused bits cleared, the sign extended (PS3.5 8.1.1)."""
    name = f"image {one.number}" if one.frame is None else f"frame {one.number}"
    syntax = one.instance.header.file_meta.TransferSyntaxUID
    dataset.file_meta.TransferSyntaxUID = syntax
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise UnsupportedTransferSyntax(f"{name}: no decoder for {syntax.name}") from error
    if not decoder.is_available:
        raise UnsupportedTransferSyntax(f"{name}: no decoder installed for {syntax.name}")
    try:
        shift = _unused_low_bits(dataset)
        stored, _ = decoder.as_array(
            dataset,
            index=one.frame or 0,
            correct_unused_bits=not shift,  # type: ignore[arg-type]  # typed as one TypedDict
        )
        return stored >> shift if shift else stored
    except RuntimeError as error:
        raise UnsupportedTransferSyntax(f"{name}: its {syntax.name} cannot be decoded") from error
    except (ArithmeticError, ValueError, TypeError, AttributeError, EOFError, OSError) as error:
        where = one.instance.path.name
        raise IncompleteSeries(
            f"{name} ({where}): its pixel data is damaged, cut off or wrongly described"
        ) from error


def _unused_low_bits(dataset: Dataset) -> int:
    """How many unused bits lie below those stored (HighBit ≠ BitsStored - 1, before 2014)."""
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return 0
    return max(0, int(dataset.HighBit) + 1 - int(dataset.BitsStored))


def _lower_padding(hu: NDArray[Any], stored: NDArray[Any], one: Slice) -> None:
    """Let nothing outside the field of view be brighter than air (PS3.3 C.7.5.1.1.2), in place.

    Padding darker than air stays as it is. A padding value in the range of tissue is believed only
    where it fills the corners: some writers name 0 as padding although 0 HU is water.
    """
    first = one.attribute("PixelPaddingValue")
    if first is None:
        return
    last = one.attribute("PixelPaddingRangeLimit")
    low, high = sorted(_as_stored(int(v), stored) for v in (first, first if last is None else last))
    in_hu = low * one.slope + one.intercept, high * one.slope + one.intercept
    if max(in_hu) <= AIR_HU:
        return
    padded = (stored >= low) & (stored <= high)
    like_tissue = max(in_hu) > _LEAST_TISSUE_HU and min(in_hu) <= _MOST_TISSUE_HU
    if not like_tissue or padded[[0, 0, -1, -1], [0, -1, 0, -1]].all():
        np.minimum(hu, AIR_HU, out=hu, where=padded)


def _as_stored(value: int, stored: NDArray[Any]) -> int:
    """Some writers put a signed value into an unsigned element: 63536 for -2000."""
    bits = 8 * stored.dtype.itemsize
    return value - 2**bits if stored.dtype.kind == "i" and value >= 2 ** (bits - 1) else value
