"""Read the headers of DICOM files and group them into studies and series."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal

import pydicom
from pydicom import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from dicom_io.errors import DicomError, NoUsableSeries
from dicom_io.types import Instance, Series, Study

_PREAMBLE = 128
_LONGEST_TAG = 12  # tag, VR, two reserved bytes, length (PS3.5 7.1.2)
_UNCOMPRESSED = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
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

    What is no DICOM object, or is damaged, is listed in `Study.ignored` of the first study. Copies
    of one SOP instance count once.

    Raises
    ------
    NoUsableSeries
        There is no DICOM object in `paths`; the message says what was found instead.
    """
    series_of: dict[str, dict[str, list[Instance]]] = {}
    seen: set[str] = set()
    ignored: list[str] = []
    for path in _files(paths):
        try:
            instance = read_instance(path)
        except DicomError as error:
            ignored.append(str(error))
            continue
        if instance.sop_instance_uid in seen:
            continue
        seen.add(instance.sop_instance_uid)
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
        with path.open("rb") as file:
            bare = _is_bare_dataset(file)
            header = pydicom.dcmread(file, stop_before_pixels=True, force=bare)
            header_end = file.tell()
            element = file.read(_LONGEST_TAG)
            size = os.fstat(file.fileno()).st_size
        missing = [
            keyword for keyword in _REQUIRED if not 0 < len(str(header.get(keyword, ""))) <= 64
        ]
    except InvalidDicomError as error:
        raise DicomError(f"{path.name}: not a DICOM file") from error
    except (OSError, EOFError, ValueError, KeyError, AttributeError, NotImplementedError) as error:
        raise DicomError(f"{path.name}: damaged DICOM file ({type(error).__name__})") from error
    if header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        raise DicomError(f"{path.name}: a DICOMDIR, not an image")
    if missing:
        raise DicomError(f"{path.name}: damaged DICOM file without {', '.join(missing)}")
    if "TransferSyntaxUID" not in header.file_meta:
        header.file_meta.TransferSyntaxUID = _guessed_transfer_syntax(header)
    return Instance(path, header, pixel_data=_pixel_data(header, element, header_end, size))


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


def _pixel_data(header: Dataset, element: bytes, at: int, size: int) -> tuple[int, int] | None:
    """Start and length of uncompressed pixel data: what its element says, or less if the file ends.

    `element` begins at `at` in a file of `size` bytes, and follows the header.
    """
    syntax = header.file_meta.TransferSyntaxUID
    if syntax not in _UNCOMPRESSED:
        return None
    order: Literal["little", "big"] = "big" if syntax == ExplicitVRBigEndian else "little"
    begins = 8 if syntax == ImplicitVRLittleEndian else _LONGEST_TAG
    stated = int.from_bytes(element[begins - 4 : begins], order)
    return at + begins, min(stated, max(0, size - at - begins))


def _guessed_transfer_syntax(header: Dataset) -> UID:
    """PS3.5 10.1: implicit VR little endian is the default where no meta information says more."""
    explicit = header.original_encoding == (False, True)
    return ExplicitVRLittleEndian if explicit else ImplicitVRLittleEndian
