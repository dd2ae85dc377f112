"""Encapsulated pixel data (PS3.5 A.4): items become frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.uid import UID, RLELossless

from dicom_io.errors import UnreadableImage

_ITEM = b"\xfe\xff\x00\xe0"
_HEAD = 8  # tag and length of an item
# SOI of JPEG and JPEG-LS; SOC and SIZ of JPEG 2000; the signature box of a JP2 file
_BEGINNINGS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  ")


def frames_of(value: bytes, syntax: UID, count: int) -> list[bytes]:
    """The compressed frames of a pixel data value; empty ones where a frame is lost.

    A frame begins where a codestream does, whatever the offset table says: the table is optional,
    and wrong in some files. Of RLE every item is a frame (PS3.5 A.4.2). Only where frames are lost,
    the lengths that follow from the table may tell which ones.

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
        There are no items, or they hold another number of frames and nothing tells which ones.
    """
    found = _items(value)
    begins = [_begins(item, syntax) for item in found.items]
    one_each = all(begins[k] or not item for k, item in enumerate(found.items))
    if len(found.items) == count and one_each and found.rest is None:
        return found.items
    frames: list[bytes] = []
    for item, first in zip(found.items, begins, strict=True):
        if item and (first or not frames):
            frames.append(b"")
        if item:
            frames[-1] += item
    if frames and found.rest is not None and _continues(found.rest, syntax, len(frames) == count):
        frames[-1] = b""
    lost = count - len(frames)
    if frames and lost > 0:
        cut = found.rest is not None
        placed = [*frames, *[b""] * lost] if cut else _placed(frames, found, count)
        if placed is not None:
            return placed
    if lost:
        raise UnreadableImage(
            f"{len(frames)} frames of pixel data, where the header says {count}"
            + ("; nothing tells which are lost" if frames and lost > 0 else "")
        )
    return frames


def _begins(item: bytes, syntax: UID) -> bool:
    return syntax == RLELossless or item.startswith(_BEGINNINGS)


def _continues(rest: bytes, syntax: UID, last: bool) -> bool:
    """Whether an item that is cut off belongs to the frame before it, as far as it tells."""
    told = last or len(rest) >= len(min(_BEGINNINGS, key=len))
    return told and not _begins(rest, syntax)


@dataclass(frozen=True)
class _Items:
    """The offset table, the items after it, and what is left of one that is cut off."""

    table: bytes
    items: list[bytes]
    rest: bytes | None


def _items(value: bytes) -> _Items:
    """Read item after item.

    The delimiter at the end may be missing, as some writers forget it: the items end with the file,
    or where something else begins.
    """
    items: list[bytes] = []
    at, rest = 0, None
    while value.startswith(_ITEM, at):
        length = int.from_bytes(value[at + 4 : at + _HEAD], "little")
        at += _HEAD
        if at + length > len(value):
            rest = value[at:]
            break
        items.append(value[at : at + length])
        at += length
    if rest is None and 0 < len(value) - at < _HEAD and _ITEM.startswith(value[at : at + 4]):
        rest = b""
    return _Items(items[0] if items else b"", items[1:], rest)


def _placed(frames: Sequence[bytes], found: _Items, count: int) -> list[bytes] | None:
    """Find the place of each frame by its length, where some are lost; None where nothing tells.

    The first frames that fit are taken from the front, and from the back: what both agree on is
    certain. The table says nothing of the length of the last one, which any frame may be.
    """
    if len(found.table) != 4 * count or len(frames) < sum(map(bool, found.items)):
        return None  # no table, or frames in several items
    lengths = np.diff(np.frombuffer(found.table, "<u4").astype(np.int64)).tolist()
    wanted = [*lengths, None]
    own = [_HEAD + len(frame) for frame in frames]
    front = _fitted(own, wanted)
    back = _fitted(own[::-1], wanted[::-1])
    if front is None or back is None:
        return None
    placed = [b""] * count
    for k, frame in enumerate(frames):
        if front[k] == count - 1 - back[len(frames) - 1 - k]:
            placed[front[k]] = frame
    return placed


def _fitted(own: Sequence[int], wanted: Sequence[int | None]) -> list[int] | None:
    """The first place for each length, in order; None where there is none."""
    places: list[int] = []
    at = 0
    for length in own:
        while at < len(wanted) and wanted[at] not in (None, length):
            at += 1
        if at == len(wanted):
            return None
        places.append(at)
        at += 1
    return places
