"""Encapsulated pixel data (PS3.5 A.4): items become frames."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from pydicom.uid import UID, RLELossless

from dicom_io.errors import UnreadableImage

_ITEM = (0xFFFE, 0xE000)
# SOI of JPEG and JPEG-LS; SOC and SIZ of JPEG 2000; the signature box of a JP2 file
_BEGINNINGS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  ")


def frames_of(value: bytes, syntax: UID, count: int) -> list[bytes]:
    """The compressed frames of a pixel data value.

    A frame begins where a codestream does, whatever the offset table says: the table is optional,
    and wrong in some files. Of RLE every item is a frame (PS3.5 A.4.2).

    Parameters
    ----------
    value : bytes
        All that follows the length of the element; what stands after the items is not looked at.
    syntax : UID
        Of the file.
    count : int
        NumberOfFrames.

    Raises
    ------
    UnreadableImage
        There are no items, one is cut off, or they hold another number of frames.
    """
    frames: list[list[bytes]] = []
    for item in _items(value):
        if syntax == RLELossless or item.startswith(_BEGINNINGS) or not frames:
            frames.append([])
        frames[-1].append(item)
    if len(frames) != count:
        raise UnreadableImage(f"{len(frames)} frames of pixel data, where the header says {count}")
    return [b"".join(items) for items in frames]


def _items(value: bytes) -> Iterator[bytes]:
    """The fragments after the offset table.

    The delimiter at the end may be missing, as some writers forget it: the items end with the file,
    or where something else begins.
    """
    at, first = 0, True
    while at + 8 <= len(value):
        group, element, length = struct.unpack_from("<HHL", value, at)
        at += 8
        if (group, element) != _ITEM:
            break
        if at + length > len(value):
            raise UnreadableImage("its pixel data is cut off")
        if not first and length:
            yield value[at : at + length]
        at, first = at + length, False
