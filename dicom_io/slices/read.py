"""Read the headers of DICOM files and group them into studies and series."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Literal

import pydicom
from pydicom import Dataset, config
from pydicom.dataelem import RawDataElement
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from dicom_io.errors import DamagedFile, DicomError, NoUsableSeries, UnreadableImage
from dicom_io.slices.copies import Copies
from dicom_io.slices.deflated import open_data_set
from dicom_io.slices.header import Header
from dicom_io.types import Instance, Series, Study

LOGGER = logging.getLogger(__name__)

_PREAMBLE = 128
_LONGEST_TAG = 12  # tag, VR, two reserved bytes, length (PS3.5 7.1.2)
_SHORTEST_TAG = 8  # tag, length
_PIXEL_DATA = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")  # little endian, big endian
_EXPLICIT = (b"OB\0\0", b"OW\0\0", b"UN\0\0")
_UNDEFINED_LENGTH = 0xFFFFFFFF
# PS3.5 9.1 ends at 64; archives take a little more, as some devices write it
_LONGEST_UID, _LONGEST_UID_TAKEN = 64, 70
_REQUIRED = ("SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID")


def read_study(paths: Iterable[Path]) -> Study:
    """Read one study.

    Parameters
    ----------
    paths : iterable of Path
        Files and folders (searched recursively). Headers only are read.

    Raises
    ------
    NoUsableSeries
        There is no DICOM object in `paths`.
    DicomError
        They hold more than one study.
    """
    studies = read_studies(paths)
    if len(studies) > 1:
        first = ", ".join(study.study_instance_uid for study in studies[:3])
        more = ", ..." if len(studies) > 3 else ""
        raise DicomError(f"{len(studies)} studies where one is wanted: {first}{more}")
    return studies[0]


def read_studies(paths: Iterable[Path]) -> tuple[Study, ...]:
    """Read every study, in the order in which its first file was met.

    What is no DICOM object, or is damaged, is listed in `Study.ignored` of the first study. Damaged
    files may belong to any of the studies, and are listed in `Study.damaged` of each. Files that
    are equal count once.

    Raises
    ------
    NoUsableSeries
        There is no DICOM object in `paths`; the message says what was found instead.
    """
    series_of: dict[str, dict[str, list[Instance]]] = {}
    copies = Copies()
    ignored: list[str] = []
    damaged: list[str] = []
    for path in _files(paths):
        try:
            instance = read_instance(path)
        except DicomError as error:
            ignored.append(str(error))
            if isinstance(error, DamagedFile):
                damaged.append(str(error))
            continue
        if copies.is_copy(instance.sop_instance_uid, path):
            continue
        header = instance.header
        series = series_of.setdefault(str(header.StudyInstanceUID), {})
        series.setdefault(str(header.SeriesInstanceUID), []).append(instance)
    if not series_of:
        found = f"; {len(ignored)} not read, such as {ignored[0]}" if ignored else ""
        raise NoUsableSeries(f"no DICOM object found{found}")
    return tuple(
        Study(
            uid,
            tuple(Series(series_uid, tuple(found)) for series_uid, found in series.items()),
            () if k else tuple(ignored),
            tuple(damaged),
        )
        for k, (uid, series) in enumerate(series_of.items())
    )


def read_instance(path: Path) -> Instance:
    """Read the header of one file; files without the 128-byte preamble are accepted.

    Raises
    ------
    DicomError
        The file is not DICOM, is a DICOMDIR, cannot be read, or lacks one of its UIDs.
    """
    try:
        return _instance(path)
    except DicomError:
        raise
    except InvalidDicomError as error:
        raise DicomError(f"{path.name}: not a DICOM file") from error
    except Exception as error:  # the border: no file costs more than itself, whatever it holds
        raise DamagedFile(f"{path.name}: damaged DICOM file ({type(error).__name__})") from error


def _instance(path: Path) -> Instance:
    with open_data_set(path) as file:
        bare = _is_bare_dataset(file)
        header = _header(file, force=bare)
        if isinstance(file, BytesIO):
            header.file_meta = pydicom.filereader.read_file_meta_info(path)
        if header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
            raise DicomError(f"{path.name}: a DICOMDIR, not an image")
        _require_uids(header, path)
        if not header.file_meta.get("TransferSyntaxUID"):
            header.file_meta.TransferSyntaxUID = _guessed_transfer_syntax(header)
        try:
            return Instance(path, header, pixel_data=_pixel_data(header, file))
        except UnreadableImage as error:
            raise DamagedFile(f"{path.name}: {error}") from error


def _header(file: BinaryIO, *, force: bool) -> Header:
    """All up to the pixel data; `file` stands there afterwards.

    pydicom takes an element whose VR is no pair of capitals for an implicit one. That is right
    within sequences of some writers; in the data set itself it is a private element with a blank
    VR, and what follows would be swallowed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what pydicom can read in spite of it
        dataset = pydicom.dcmread(file, stop_before_pixels=True, force=force)
        if any(map(_is_stray, dataset.values())):
            file.seek(0)
            config.assume_implicit_vr_switch = False
            try:
                dataset = pydicom.dcmread(file, stop_before_pixels=True, force=force)
            finally:
                config.assume_implicit_vr_switch = True
    return Header.of(dataset)


def _is_stray(element: Any) -> bool:
    raw = isinstance(element, RawDataElement)
    return raw and element.VR is None and not element.is_implicit_VR


def _require_uids(header: Dataset, path: Path) -> None:
    lengths = {keyword: len(str(header.get(keyword) or "")) for keyword in _REQUIRED}
    if wrong := [keyword for keyword, n in lengths.items() if not 0 < n <= _LONGEST_UID_TAKEN]:
        raise DamagedFile(f"{path.name}: damaged DICOM file without {', '.join(wrong)}")
    if long := [keyword for keyword, n in lengths.items() if n > _LONGEST_UID]:
        LOGGER.warning("%s: longer than 64 characters: %s", path.name, ", ".join(long))


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for folder, folders, names in os.walk(path):
            folders.sort()
            yield from (Path(folder) / name for name in sorted(names))


def _is_bare_dataset(file: BinaryIO) -> bool:
    """Whether the file begins with a data element of a group that DICOM objects begin with."""
    start = file.read(_PREAMBLE + 4)
    file.seek(0)
    group = int.from_bytes(start[:2], "little")
    return start[_PREAMBLE:] != b"DICM" and group in (0x0002, 0x0008) and start[3:4] == b"\x00"


def _guessed_transfer_syntax(header: Dataset) -> UID:
    """PS3.5 10.1: implicit VR little endian is the default where no meta information says more."""
    explicit = header.original_encoding == (False, True)
    return ExplicitVRLittleEndian if explicit else ImplicitVRLittleEndian


def _pixel_data(header: Dataset, file: BinaryIO) -> tuple[int, int] | None:
    """Where the value of PixelData begins, and its length, or what is left of it in the file.

    `file` stands where the header ends. None where there are no pixels.
    """
    syntax = UID(header.file_meta.TransferSyntaxUID)
    order: Literal["little", "big"] = "big" if syntax == ExplicitVRBigEndian else "little"
    at = file.tell()
    element = file.read(_LONGEST_TAG)
    if len(element) < _SHORTEST_TAG:
        return at, 0
    if element[:4] not in _PIXEL_DATA:
        return None
    # no length of an implicit element looks like one of these; lengths are even
    begins = _LONGEST_TAG if element[4:8] in _EXPLICIT else _SHORTEST_TAG
    stated = int.from_bytes(element[begins - 4 : begins], order)
    known = syntax.is_transfer_syntax  # of others, private ones, nobody knows
    if known and (stated == _UNDEFINED_LENGTH) != syntax.is_encapsulated:
        raise UnreadableImage("its pixel data is not in the transfer syntax of the file")
    left = max(0, file.seek(0, os.SEEK_END) - at - begins)
    return at + begins, min(stated, left)
