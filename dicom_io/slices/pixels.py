"""Stored pixel values, decoded and turned into Hounsfield units."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID, ExplicitVRBigEndian

from dicom_io.errors import DicomError, UnreadableImage
from dicom_io.pixel_data.decoder import DECODER, require_decoder
from dicom_io.pixel_data.fragments import frames_of
from dicom_io.slices.deflated import open_data_set
from dicom_io.slices.signs import as_meant
from dicom_io.slices.slices import Slice, is_encapsulated, syntax_of
from dicom_io.types import Instance
from dicom_io.values import whole_number

AIR_HU = -1024
"""What stands outside the measured field of view; the lowest value of a 12-bit CT scale."""

# Of lung to that of metal, as a 12-bit CT scale ends there
_LEAST_TISSUE_HU, _MOST_TISSUE_HU = -1000, 3071


class Pixels:
    """Reads one slice after the other; the compressed frames of an object are found together."""

    def __init__(self) -> None:
        self._instance: Instance | None = None
        self._frames: list[bytes] = []

    def hu_of(self, one: Slice) -> NDArray[Any]:
        """Decode one slice: (H, W) of int32, or float32 where HU are not whole.

        Raises
        ------
        UnreadableImage
            Its pixel data is damaged, cut off, or is not what its header says.
        UnsupportedTransferSyntax
            No decoder reads it.
        DecoderUnavailable
            No image is at fault.
        """
        try:
            return _hu(one, as_meant(self._stored(one), one))
        except DicomError as error:
            raise type(error)(f"{_name(one)}: {error}") from error
        except Exception as error:
            raise UnreadableImage(
                f"{_name(one)}: its pixel data cannot be read ({type(error).__name__})"
            ) from error

    def _stored(self, one: Slice) -> NDArray[Any]:
        if one.instance.pixel_data is None:
            raise UnreadableImage("no pixel data")
        syntax = syntax_of(one.instance)
        if not is_encapsulated(syntax):
            return _uncompressed(one, syntax)
        require_decoder(syntax)
        if one.instance is not self._instance:
            several = whole_number(one.instance.header, "NumberOfFrames", 1)
            count = 1 if one.frame is None else several
            self._frames = frames_of(_bytes(one.instance), syntax, count)
            self._instance = one.instance
        frame = self._frames[one.frame or 0]
        if not frame:
            raise UnreadableImage("its pixel data is lost or cut off")
        return DECODER.decode(frame, syntax, one.layout)


def _name(one: Slice) -> str:
    if one.frame is None:
        return f"image {one.number}"
    count = whole_number(one.instance.header, "NumberOfFrames", 1)
    return f"frame {one.frame + 1} of {count}"


def _uncompressed(one: Slice, syntax: UID) -> NDArray[Any]:
    layout = one.layout
    begin, length = (one.frame or 0) * layout.frame_bytes, layout.frame_bytes
    if syntax == ExplicitVRBigEndian and layout.bits_allocated == 8 and _is_in_words(one.instance):
        whole = _bytes(one.instance, begin - begin % 2, length + 2)
        frame = _swapped(whole)[begin % 2 :][:length]
    else:
        frame = _bytes(one.instance, begin, length)
    if len(frame) < layout.frame_bytes:
        raise UnreadableImage("its pixel data is cut off")
    return layout.values_of(frame, ">" if syntax == ExplicitVRBigEndian else "<")


def _is_in_words(instance: Instance) -> bool:
    """Whether explicit PixelData is OW: its VR stands 8 bytes before its value (PS3.5 7.1.2)."""
    return _bytes(instance, -8, 2) == b"OW"


def _swapped(words: bytes) -> bytes:
    """The two bytes of each word change places (PS3.5 D.1)."""
    return np.frombuffer(words[: len(words) // 2 * 2], np.uint16).byteswap().tobytes()


def _bytes(instance: Instance, skip: int = 0, length: int | None = None) -> bytes:
    """Part of the value of PixelData: all by default."""
    start, whole = instance.pixel_data or (0, 0)
    with open_data_set(instance.path) as file:
        file.seek(start + skip)
        return file.read(whole if length is None else min(length, max(0, whole - skip)))


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


def _lower_padding(hu: NDArray[Any], stored: NDArray[Any], one: Slice) -> None:
    """Let nothing outside the field of view be brighter than air (PS3.3 C.7.5.1.1.2), in place.

    Padding darker than air stays as it is. A padding value in the range of tissue is believed only
    where it fills the corners: some writers name 0 as padding although 0 HU is water. A range that
    reaches into tissue would cut it away: its first value alone is padding.
    """
    if one.padding is None:
        return
    first, last = (_as_stored(value, stored) for value in one.padding)
    if _is_tissue(one, first, last):
        last = first
    low, high = sorted((first, last))
    if max(low * one.slope, high * one.slope) + one.intercept <= AIR_HU:
        return
    padded = (stored >= low) & (stored <= high)
    if not _is_tissue(one, low, high) or padded[[0, 0, -1, -1], [0, -1, 0, -1]].all():
        np.minimum(hu, AIR_HU, out=hu, where=padded)


def _is_tissue(one: Slice, *stored: int) -> bool:
    """Whether anything between two stored values may be tissue."""
    hu = [value * one.slope + one.intercept for value in stored]
    return max(hu) > _LEAST_TISSUE_HU and min(hu) <= _MOST_TISSUE_HU


def _as_stored(value: int, stored: NDArray[Any]) -> int:
    """Some writers put a signed value into an unsigned element: 63536 for -2000."""
    bits = 8 * stored.dtype.itemsize
    return value - 2**bits if stored.dtype.kind == "i" and value >= 2 ** (bits - 1) else value
