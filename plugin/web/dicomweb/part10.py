"""The beginning of a DICOM file that arrives piece by piece (PS3.10 7.1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from pydicom import dcmread

from dicom_io.errors import DicomError

_PREFIX = b"DICM"
_PREAMBLE = 128
# Preamble, prefix, and (0002,0000) with its VR, length and value
_GROUP_LENGTH_ENDS = _PREAMBLE + 4 + 12
# File meta information takes some hundred bytes, private information in it a few thousand
_LONGEST_META = 1 << 16


@dataclass(frozen=True)
class FileMeta:
    """What stands before the data set."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


def split(pieces: Iterator[bytes]) -> tuple[FileMeta, bytes]:
    """Read the file meta information; return it and what was read of the data set.

    Parameters
    ----------
    pieces : iterator of bytes
        The file; what is left in it is the rest of the data set.

    Raises
    ------
    DicomError
        It is no DICOM file, or ends or goes on where it may not.
    """
    held = _at_least(pieces, bytearray(), _GROUP_LENGTH_ENDS)
    if held[_PREAMBLE : _PREAMBLE + 4] != _PREFIX:
        raise DicomError("no DICOM file: the prefix DICM is missing")
    length = int.from_bytes(held[_GROUP_LENGTH_ENDS - 4 : _GROUP_LENGTH_ENDS], "little")
    if length > _LONGEST_META:
        raise DicomError(f"its file meta information claims {length} bytes")
    ends = _GROUP_LENGTH_ENDS + length
    held = _at_least(pieces, held, ends)
    return _meta(bytes(held[:ends])), bytes(held[ends:])


def _at_least(pieces: Iterator[bytes], held: bytearray, size: int) -> bytearray:
    while len(held) < size:
        piece = next(pieces, None)
        if piece is None:
            raise DicomError(f"no DICOM file: it ends after {len(held)} bytes")
        held += piece
    return held


def _meta(encoded: bytes) -> FileMeta:
    try:
        meta = dcmread(BytesIO(encoded)).file_meta
        return FileMeta(
            str(meta.MediaStorageSOPClassUID),
            str(meta.MediaStorageSOPInstanceUID),
            str(meta.TransferSyntaxUID),
        )
    except Exception as error:  # the border: whatever the bytes make pydicom raise
        kind = type(error).__name__
        raise DicomError(f"its file meta information cannot be read ({kind})") from error
