"""What the receiver must know of a data set, read without decoding it.

The data set is walked element by element to its end (PS3.5 7.1), so that a truncated one is
refused, but only the few values that intake needs are taken out of it.
"""

from __future__ import annotations

import mmap
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from pydicom import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from dicom_io.cleaned import cleaned
from dicom_io.device import is_own
from dicom_io.errors import DicomError, MissingAttribute
from dicom_io.slices.deflated import largest_inflated
from plugin.state.files.incoming import LONGEST_BEGINNING

_KEYWORDS = {
    0x00080016: "SOPClassUID",
    0x00080018: "SOPInstanceUID",
    0x00080050: "AccessionNumber",
    0x00080060: "Modality",
    0x00080070: "Manufacturer",
    0x00081090: "ManufacturerModelName",
    0x00100020: "PatientID",
    0x00181002: "DeviceUID",
    0x0020000D: "StudyInstanceUID",
    0x0020000E: "SeriesInstanceUID",
}
_SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
# Private elements of some writers; as parts of an implicit length they make none that occurs
_NO_VR = (b"\0\0", b"  ", b"??")
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
# Real objects nest a few sequences; deeper ones are made to exhaust the stack
_DEEPEST = 64
_PIECE = 2**18  # bytes that are read and written at once
# UIDs become file names: digits and dots only, a digit first (PS3.5 9.1). That ends at 64
# characters; archives take the few more that some devices write
_UID = re.compile(r"[0-9][0-9.]{0,69}")


@dataclass(frozen=True)
class Header:
    """The attributes of an instance that intake looks at."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    modality: str | None
    accession_number: str | None
    own: bool
    patient_id: str | None = None


def read_header(
    data: bytes | memoryview, transfer_syntax_uid: str, scratch: Path | None = None
) -> Header:
    """Read the header of an encoded data set.

    Parameters
    ----------
    data : bytes
        The data set as it came over the network, without preamble and file meta.
    transfer_syntax_uid : str
        How it is encoded.
    scratch : Path, optional
        Folder where a deflated one is inflated, so that it takes no memory.

    Raises
    ------
    DicomError
        The data set is truncated, is no DICOM data set, or inflates beyond all measure.
    MissingAttribute
        A UID is absent or no UID.
    """
    if transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        with TemporaryFile(dir=scratch) as file:
            return _read_header(_inflated(data, file), transfer_syntax_uid)
    return _read_header(memoryview(data), transfer_syntax_uid)


def read_beginning(beginning: bytearray, size: int, transfer_syntax_uid: str) -> Header | None:
    """Read the header of a data set whose first bytes are there; None where they are not enough.

    Parameters
    ----------
    beginning : bytearray
        The first bytes.
    size : int
        How many bytes the data set has.
    transfer_syntax_uid : str
        How it is encoded.
    """
    if transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        return None
    with suppress(struct.error, DicomError):  # `read_header` says what is wrong, if anything is
        encoding = _encoding_of(transfer_syntax_uid)
        return _header(dict(_top_level(memoryview(beginning), encoding, size)))
    return None


def _read_header(view: memoryview, transfer_syntax_uid: str) -> Header:
    try:
        values = dict(_top_level(view, _encoding_of(transfer_syntax_uid)))
    except struct.error:
        raise DicomError(f"the data set of {len(view)} bytes is truncated") from None
    return _header(values)


def study_of(data: bytes | memoryview, transfer_syntax_uid: str) -> str | None:
    """Return the StudyInstanceUID of a data set of which only the beginning is there."""
    if transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        with suppress(zlib.error):
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, LONGEST_BEGINNING)
    with suppress(struct.error, DicomError):
        for keyword, value in _top_level(memoryview(data), _encoding_of(transfer_syntax_uid)):
            if keyword == "StudyInstanceUID":
                return value if valid_uid(value) else None
    return None


def valid_uid(value: str) -> bool:
    """Tell whether a string can be a UID, and so a file name."""
    return _UID.fullmatch(value) is not None


def _header(values: dict[str, str]) -> Header:
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        if not valid_uid(values.get(keyword, "")):
            raise MissingAttribute(f"{keyword} is absent or not a UID")
    return Header(
        sop_class_uid=values["SOPClassUID"],
        sop_instance_uid=values["SOPInstanceUID"],
        study_instance_uid=values["StudyInstanceUID"],
        series_instance_uid=values["SeriesInstanceUID"],
        modality=values.get("Modality", "")[:16] or None,
        accession_number=values.get("AccessionNumber", "")[:64] or None,
        own=_own(values),
        patient_id=values.get("PatientID", "")[:64] or None,
    )


def _own(values: dict[str, str]) -> bool:
    if "DeviceUID" not in values and values.get("Modality") != "SR":
        return False  # most of what arrives, and a Dataset costs time
    dataset = Dataset()
    for keyword in ("Modality", "Manufacturer", "ManufacturerModelName"):
        setattr(dataset, keyword, values.get(keyword))
    dataset.DeviceUID = values.get("DeviceUID", "").split("\\")
    return is_own(dataset)


@dataclass(frozen=True)
class _Encoding:
    order: str
    explicit: bool


@dataclass(frozen=True)
class _Element:
    tag: int
    start: int
    length: int
    encoding: _Encoding
    """How the items inside are encoded: UN of undefined length holds implicit VR (PS3.5 6.2.2)."""


def _encoding_of(transfer_syntax_uid: str) -> _Encoding:
    return _Encoding(
        order=">" if transfer_syntax_uid == ExplicitVRBigEndian else "<",
        explicit=transfer_syntax_uid != ImplicitVRLittleEndian,
    )


def _top_level(view: memoryview, encoding: _Encoding, whole: int = 0) -> Iterator[tuple[str, str]]:
    """Yield keyword and value of what intake needs.

    `whole` is how many bytes the data set has where the view may be its beginning only. Then the
    element that the view cuts off must be the last one, and no other may reach beyond the view.
    """
    position, size = 0, len(view)
    unpack = struct.Struct(f"{encoding.order}HH2sH").unpack_from
    short_vrs = _SHORT_VRS if encoding.explicit else ()
    while position < size:
        if view[position] == 0 and whole <= size and not any(view[position:]):
            return  # some writers fill up a file with zeros
        if position + 8 <= size:
            # Most elements are of this form; an object for each takes longer than to read it
            group, number, vr, length = unpack(view, position)
            end = position + 8 + length
            if vr in short_vrs and group != 0xFFFE and end <= size:
                keyword = _KEYWORDS.get(group << 16 | number)
                if keyword is not None:
                    yield keyword, _text(view[position + 8 : end])
                position = end
                continue
        element = _element(view, position, encoding)
        if element.tag >> 16 == 0xFFFE:
            raise DicomError("an item stands outside a sequence in the data set")
        if element.start + element.length == whole > size:
            return
        position = _end(view, element, depth=0)
        keyword = _KEYWORDS.get(element.tag)
        if keyword is not None:
            yield keyword, _text(view[element.start : position])
    if whole > size:
        raise DicomError("the data set goes on")


def _text(value: memoryview) -> str:
    return cleaned(bytes(value).decode("utf-8", "replace").replace("\0", "").strip())


def _element(view: memoryview, position: int, encoding: _Encoding) -> _Element:
    """Read tag, VR and length (PS3.5 7.1.2)."""
    order = encoding.order
    group, number = struct.unpack_from(f"{order}HH", view, position)
    tag = group << 16 | number
    vr = bytes(view[position + 4 : position + 6])
    if encoding.explicit and group != 0xFFFE and vr in _NO_VR:
        (length,) = struct.unpack_from(f"{order}H", view, position + 6)
        return _Element(tag, position + 8, length, encoding)
    # Some writers slip single implicit elements into explicit data sets; readers put up with it
    if group == 0xFFFE or not encoding.explicit or not vr.isalpha() or not vr.isupper():
        (length,) = struct.unpack_from(f"{order}L", view, position + 4)
        return _Element(tag, position + 8, length, encoding)
    if vr not in _LONG_VRS:
        (length,) = struct.unpack_from(f"{order}H", view, position + 6)
        return _Element(tag, position + 8, length, encoding)
    (length,) = struct.unpack_from(f"{order}L", view, position + 8)
    if vr == b"UN" and length == _UNDEFINED:
        encoding = _Encoding("<", explicit=False)
    return _Element(tag, position + 12, length, encoding)


def _end(view: memoryview, element: _Element, depth: int) -> int:
    """Return where the element ends, past its delimiter."""
    if element.length != _UNDEFINED:
        end = element.start + element.length
        if end > len(view):
            raise DicomError(
                f"the data set is truncated: ({element.tag >> 16:04X},{element.tag & 0xFFFF:04X}) "
                f"ends at byte {end} of {len(view)}"
            )
        return end
    if depth > _DEEPEST:
        raise DicomError(f"sequences are nested more than {_DEEPEST} deep")
    closing = _ITEM_END if element.tag == _ITEM else _SEQUENCE_END
    position = element.start
    while True:
        inner = _element(view, position, element.encoding)
        if inner.tag == closing:
            return inner.start
        position = _end(view, inner, depth + 1)


def _inflated(data: bytes | memoryview, file: IO[bytes]) -> memoryview:
    """Undo the raw deflate stream of PS3.5 A.5, piece by piece, into a file."""
    most = largest_inflated(len(data))
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for start in range(0, len(data), _PIECE):
            for piece in _pieces(inflater, data[start : start + _PIECE]):
                file.write(piece)
                if file.tell() > most:
                    raise DicomError(f"the deflated data set grows to more than {most >> 20} MB")
    except zlib.error:
        raise DicomError("the deflated data set is damaged") from None
    if not inflater.eof or not file.tell():
        raise DicomError("the deflated data set is truncated")
    file.flush()
    return memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))


def _pieces(inflater: zlib._Decompress, packed: bytes | memoryview) -> Iterator[bytes]:
    more = True
    while more:
        piece = inflater.decompress(packed, _PIECE)
        yield piece
        packed = inflater.unconsumed_tail
        more = not inflater.eof and (len(packed) > 0 or len(piece) == _PIECE)
