"""The data set of a file, inflated where it is deflated (PS3.5 A.5)."""

from __future__ import annotations

import zlib
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from dicom_io.errors import DamagedFile

_DEFLATED = b"1.2.840.10008.1.2.1.99"
_META = 132  # preamble and "DICM"; the group length (0002,0000) comes first (PS3.10 7.1)
_GROUP_LENGTH = b"\x02\x00\x00\x00UL\x04\x00"
# A CT slice grows by a factor of 2 or 3; an empty one by hundreds, but is small. What grows more
# than both was made to fill memory
_MOST_GROWTH, _ALWAYS_TAKEN = 20, 64 * 2**20


def largest_inflated(size: int) -> int:
    """Return how many bytes a deflated data set of `size` bytes may grow to."""
    return max(_MOST_GROWTH * size, _ALWAYS_TAKEN)


def open_data_set(path: Path) -> BinaryIO:
    """Open a file for reading; of a deflated one only the data set, inflated, in memory.

    Raises
    ------
    DamagedFile
        It is deflated, and is damaged, cut off, or grows beyond all measure.
    """
    file = path.open("rb")
    start = file.read(1024)  # the meta information begins here, and is shorter in most files
    if _DEFLATED not in start or not start.startswith(_GROUP_LENGTH, _META):
        file.seek(0)
        return file
    with file:
        begins = _META + len(_GROUP_LENGTH) + 4
        file.seek(begins + int.from_bytes(start[begins - 4 : begins], "little"))
        return BytesIO(_inflated(file.read(), path.name))


def _inflated(packed: bytes, name: str) -> bytes:
    most = largest_inflated(len(packed))
    stream = zlib.decompressobj(-zlib.MAX_WBITS)  # without the header of zlib (PS3.5 A.5)
    try:
        data = stream.decompress(packed, most + 1)
    except zlib.error as error:
        raise DamagedFile(f"{name}: its deflated data set is damaged") from error
    if not stream.eof:
        fault = f"inflates to more than {most} bytes" if len(data) > most else "is cut off"
        raise DamagedFile(f"{name}: its deflated data set {fault}")
    return data
