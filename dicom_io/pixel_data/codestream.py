"""What a compressed frame says of itself, compared with the header before anything decodes it.

Decoders trust one of the two. Where they disagree the picture is scrambled, or memory is written
that is not there.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise

from pydicom.uid import UID, RLELossless

from dicom_io.errors import UnreadableImage
from dicom_io.pixel_data.layout import PixelLayout

# ITU-T T.81 table B.1 without DHT, JPG and DAC; SOF55 is JPEG-LS (T.87)
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_SCAN, _END = 0xDA, 0xD9
_SIZE = b"\xff\x4f\xff\x51"  # SOC, then SIZ (T.800 A.5.1)


@dataclass(frozen=True)
class CodedImage:
    """Size, number of components, bits of each and their sign, as a codestream states them.

    JPEG and JPEG-LS say nothing of a sign.
    """

    rows: int
    columns: int
    components: int
    bits: int
    signed: bool = False


def refuse_disagreement(frame: bytes, syntax: UID, layout: PixelLayout) -> None:
    """Compare a compressed frame with its header.

    A precision between BitsStored and BitsAllocated is right: encoders write either.

    Parameters
    ----------
    frame : bytes
        JPEG, JPEG-LS, JPEG 2000, or RLE.
    syntax : UID
        Of the file.
    layout : PixelLayout
        What the header says.

    Raises
    ------
    UnreadableImage
        They disagree, or the frame is no such stream.
    """
    if syntax == RLELossless:
        _refuse_rle(frame, layout)
        return
    coded = coded_image(frame)
    if (coded.rows, coded.columns) != (layout.rows, layout.columns):
        raise UnreadableImage(
            f"its pixel data is {coded.rows}x{coded.columns}, "
            f"where the header says {layout.rows}x{layout.columns}"
        )
    if coded.components != 1:
        raise UnreadableImage(f"its pixel data has {coded.components} components, not 1")
    if not layout.bits_stored <= coded.bits <= layout.bits_allocated:
        raise UnreadableImage(
            f"its pixel data has {coded.bits} bits, where the header says "
            f"{layout.bits_stored} in {layout.bits_allocated}"
        )


def has_sign(frame: bytes, syntax: UID) -> bool:
    """Whether a frame that agrees with its header says that its values are signed."""
    return syntax != RLELossless and coded_image(frame).signed


def coded_image(frame: bytes) -> CodedImage:
    """Read the frame header of JPEG or JPEG-LS, or the SIZ marker of JPEG 2000.

    Raises
    ------
    UnreadableImage
        There is none.
    """
    try:
        if frame.startswith(b"\xff\xd8"):
            return _jpeg(frame)
        return _jpeg_2000(frame)
    except (struct.error, IndexError, ValueError) as error:
        raise UnreadableImage("its pixel data is no JPEG stream, or is cut off") from error


def _jpeg(frame: bytes) -> CodedImage:
    at = 2
    while True:
        if frame[at] != 0xFF:
            raise ValueError("no marker")
        marker, at = frame[at + 1], at + 1
        if marker == 0xFF:  # fill byte (T.81 B.1.1.2)
            continue
        at += 1
        if marker in _FRAME_HEADERS:
            _, bits, rows, columns, components = struct.unpack_from(">HBHHB", frame, at)
            return CodedImage(rows, columns, components, bits)
        if marker in (_SCAN, _END):
            raise ValueError("no frame header")
        if marker not in _ALONE:
            at += int.from_bytes(frame[at : at + 2], "big")


def _jpeg_2000(frame: bytes) -> CodedImage:
    at = frame.index(_SIZE) + len(_SIZE)
    _, _, right, bottom, left, top = struct.unpack_from(">HHLLLL", frame, at)
    (components,) = struct.unpack_from(">H", frame, at + 36)
    depths = {frame[at + 38 + 3 * k] for k in range(components)}
    if len(depths) != 1:
        raise ValueError("components of different depths")
    # Ssiz: the highest bit is the sign, the others the depth less one (T.800 table A.11)
    signed, depth = divmod(depths.pop(), 0x80)
    return CodedImage(bottom - top, right - left, components, depth + 1, bool(signed))


def _refuse_rle(frame: bytes, layout: PixelLayout) -> None:
    """RLE has no size; a segment for each byte of a value has a place (PS3.5 G.5) and a length."""
    if len(frame) < 64:
        raise UnreadableImage("its pixel data is cut off")
    count, *offsets = struct.unpack_from("<16L", frame)
    wanted = layout.bits_allocated // 8
    if count != wanted:
        raise UnreadableImage(f"its pixel data has {count} segments, not {wanted}")
    places = [*offsets[:count], len(frame)]
    if places[0] != 64 or any(b <= a for a, b in pairwise(places)):
        raise UnreadableImage("the segments of its pixel data lie outside it")
    pixels = layout.rows * layout.columns
    for begin, end in pairwise(places):
        if (found := _unpacked_length(frame, begin, end)) != pixels:
            raise UnreadableImage(
                f"its pixel data has {found} pixels, where the header says {pixels}"
            )


def _unpacked_length(frame: bytes, at: int, end: int) -> int:
    """Number of bytes that a segment of RLE stands for (PS3.5 G.3.2)."""
    length = 0
    while at < end:
        code = frame[at]
        if code < 128:
            run = min(code + 1, end - at - 1)
            length, at = length + run, at + 1 + run
        elif code > 128:
            length, at = length + (257 - code if at + 1 < end else 0), at + 2
        else:
            at += 1
    return length
