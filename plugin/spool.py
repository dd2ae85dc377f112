"""The spool: every byte that was acknowledged, in plain DICOM files that never change.

    spool/incoming/              files being written; leftovers of killed processes are removed
    spool/instances/STUDY/       SOP-DIGEST.dcm, complete and fsynced before anybody knows them
    spool/drafts/                the Structured Reports that were written

Paths in the database are relative to the spool, so it can be moved.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info

from dicom_io.errors import StoreFull

_PREAMBLE = bytes(128) + b"DICM"
# A file is written in a moment; what is older was left by a killed process
_LEFTOVER_S = 60.0
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Spool:
    """A folder that may be shared by every process of the service.

    Parameters
    ----------
    root : Path
        Made if absent.
    floor_bytes : int
        Nothing is accepted while less is free on its disk.
    """

    def __init__(self, root: Path, floor_bytes: int = 0) -> None:
        self.root = root
        self.floor_bytes = floor_bytes
        self._incoming = root / "incoming"
        self._instances = root / "instances"
        self._drafts = root / "drafts"
        for folder in (self._incoming, self._instances, self._drafts):
            folder.mkdir(parents=True, exist_ok=True)

    def absolute(self, relative: str) -> Path:
        return self.root / relative

    def require_space(self) -> None:
        """Refuse when the disk is under its floor.

        Raises
        ------
        StoreFull
            Less than the floor is free.
        """
        free = shutil.disk_usage(self.root).free
        if free < self.floor_bytes:
            raise StoreFull(
                f"the spool's disk has {free >> 20} MB free, its floor is {self.floor_bytes >> 20}"
            )

    def write_instance(self, study: str, sop_instance: str, digest: str, parts: Parts) -> str:
        """Write an instance durably but for its folder, which `sync_folders` makes durable.

        Parameters
        ----------
        study, sop_instance : str
            Validated UIDs.
        digest : str
            SHA-256 of the data set, in hex. It is part of the name: the same bytes get the same
            file, other bytes under the same UID never overwrite it.
        parts : sequence of bytes
            What the file holds, preamble first.

        Returns
        -------
        str
            The path relative to the spool.

        Raises
        ------
        StoreFull
            The disk is full, or under its floor.
        """
        self.require_space()
        folder = self._instances / study
        if not folder.is_dir():
            folder.mkdir(exist_ok=True)
            sync_folder(self._instances)
        return self._write(folder / f"{sop_instance}-{digest[:16]}.dcm", parts)

    def write_draft(self, sr: Dataset) -> str:
        """Write a report durably and return its path relative to the spool.

        The floor does not hold for it: it keeps room for the drafts of what was acknowledged.

        Raises
        ------
        StoreFull
            The disk is full.
        """
        buffer = BytesIO()
        sr.save_as(buffer, enforce_file_format=True)
        relative = self._write(self._drafts / f"{sr.SOPInstanceUID}.dcm", [buffer.getvalue()])
        sync_folder(self._drafts)
        return relative

    def sync_folders(self, relatives: Iterable[str]) -> None:
        """Make the names of files durable, one fsync a folder."""
        for folder in {self.absolute(relative).parent for relative in relatives}:
            sync_folder(folder)

    def instance_paths(self) -> Iterator[str]:
        """Yield every instance file, relative to the spool."""
        for path in self._instances.glob("*/*.dcm"):
            yield str(path.relative_to(self.root))

    def remove_leftovers(self) -> int:
        """Remove what killed processes were writing; return how many files."""
        removed = 0
        for path in self._incoming.iterdir():
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _LEFTOVER_S:
                    path.unlink()
                    removed += 1
        return removed

    def _write(self, target: Path, parts: Parts) -> str:
        temporary = self._incoming / uuid.uuid4().hex
        try:
            _write_durably(temporary, parts)
            temporary.replace(target)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            if error.errno in _FULL:
                raise StoreFull(f"the spool's disk is full: {error.strerror}") from error
            raise
        return str(target.relative_to(self.root))


Parts = Iterable[bytes | memoryview]


def file_head(file_meta: FileMetaDataset) -> bytes:
    """Encode preamble and File Meta Information (PS3.10 7.1)."""
    buffer = DicomBytesIO()
    buffer.write(_PREAMBLE)
    write_file_meta_info(buffer, file_meta, enforce_standard=True)
    return buffer.getvalue()


def split_file(data: bytes) -> tuple[memoryview, int]:
    """Return the data set of a file that `file_head` begins, and where it starts."""
    # (0002,0000) FileMetaInformationGroupLength counts from its own end (PS3.10 7.1)
    start = len(_PREAMBLE) + 12 + int.from_bytes(data[140:144], "little")
    return memoryview(data)[start:], start


def digest_of(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_durably(path: Path, parts: Parts) -> None:
    with path.open("xb", buffering=0) as file:
        for part in parts:
            remaining = memoryview(part)
            while remaining:
                remaining = remaining[file.write(remaining) :]
        os.fsync(file.fileno())
