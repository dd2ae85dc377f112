"""Frames as they are stored, or decoded where a client wants no compression."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from dicom_io.errors import DicomError, UnreadableImage
from dicom_io.pixel_data.decoder import DECODER, require_decoder
from dicom_io.pixel_data.fragments import frames_of
from dicom_io.slices.deflated import open_data_set
from dicom_io.slices.frames import slices_of_instance
from dicom_io.slices.read import read_instance
from dicom_io.slices.slices import is_encapsulated, syntax_of
from dicom_io.types import Instance
from dicom_io.values import whole_number
from plugin.web.dicomweb.archive import Kept
from plugin.web.dicomweb.problems import Refused

# PS3.18 table 8.7.3-5
MEDIA_TYPES = {
    JPEGBaseline8Bit: "image/jpeg",
    JPEGExtended12Bit: "image/jpeg",
    JPEGLossless: "image/jpeg",
    JPEGLosslessSV1: "image/jpeg",
    RLELossless: "image/dicom-rle",
    JPEGLSLossless: "image/jls",
    JPEGLSNearLossless: "image/jls",
    JPEG2000Lossless: "image/jp2",
    JPEG2000: "image/jp2",
    HTJ2KLossless: "image/jphc",
    HTJ2KLosslessRPCL: "image/jphc",
    HTJ2K: "image/jphc",
}
RAW = "application/octet-stream"


def media_type(syntax: str) -> str:
    """Name the type of a frame in a transfer syntax, with the syntax in which it is sent."""
    uid = UID(syntax)
    if uid not in MEDIA_TYPES:
        return f"{RAW}; transfer-syntax={ExplicitVRLittleEndian}"
    return f"{MEDIA_TYPES[uid]}; transfer-syntax={uid}"


def read_frames(
    kept: Kept, numbers: Sequence[int] | None = None, *, decoded: bool = False
) -> Iterator[bytes]:
    """Read frames of an instance; uncompressed ones are little endian, and read as they are sent.

    Parameters
    ----------
    kept : Kept
        The instance.
    numbers : sequence of int
        Which, 1 first; None is all.
    decoded : bool
        Whether compressed ones are decoded.

    Raises
    ------
    Refused
        There is no such frame, or it cannot be read.
    """
    try:
        instance = read_instance(kept.path)
        count = whole_number(instance.header, "NumberOfFrames", 1)
        numbers = range(1, count + 1) if numbers is None else numbers
        if instance.pixel_data is None or not numbers or not all(0 < n <= count for n in numbers):
            raise Refused(404, "no-such-frame", f"the instance has {count} frames")
        syntax = syntax_of(instance)
        if not is_encapsulated(syntax):
            _uncompressed(instance, syntax, max(numbers) - 1)  # a fault is told before the answer
            return (_uncompressed(instance, syntax, n - 1) for n in numbers)
        frames = frames_of(_value(instance), syntax, count)
        found = [frames[n - 1] for n in numbers]
        return iter(_decoded(instance, syntax, found, numbers) if decoded else found)
    except DicomError as error:
        raise Refused(409, "unreadable", f"the frame cannot be read: {error}") from error


def _decoded(
    instance: Instance, syntax: UID, frames: Sequence[bytes], numbers: Sequence[int]
) -> list[bytes]:
    require_decoder(syntax)
    slices = slices_of_instance(instance)
    found = []
    for number, frame in zip(numbers, frames, strict=True):
        layout = slices[number - 1].layout
        values = DECODER.decode(frame, syntax, layout)
        kind = f"<{'i' if layout.signed else 'u'}{layout.bits_allocated // 8}"
        found.append(values.astype(np.dtype(kind)).tobytes())
    return found


def _uncompressed(instance: Instance, syntax: UID, index: int) -> bytes:
    header = instance.header
    pixels = whole_number(header, "Rows", 0) * whole_number(header, "Columns", 0)
    bits = pixels * whole_number(header, "SamplesPerPixel", 1)
    bits *= whole_number(header, "BitsAllocated", 0)
    if bits % 8:
        raise UnreadableImage("its frames begin within a byte")
    length = bits // 8
    frame = _value(instance, index * length, length)
    if len(frame) < length or not length:
        raise UnreadableImage("its pixel data is cut off")
    if syntax == ExplicitVRBigEndian and whole_number(header, "BitsAllocated", 0) == 16:
        frame = np.frombuffer(frame, ">u2").astype("<u2").tobytes()
    return frame


def _value(instance: Instance, skip: int = 0, length: int | None = None) -> bytes:
    """What PixelData holds, or a part of it."""
    start, whole = instance.pixel_data or (0, 0)
    left = max(0, whole - skip)
    with open_data_set(instance.path) as file:
        file.seek(start + skip)
        return file.read(left if length is None else min(length, left))
