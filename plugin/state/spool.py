"""The spool: every byte that was acknowledged, in plain DICOM files that never change.

    spool/incoming/              files being written; leftovers of killed processes are removed
    spool/instances/STUDY/       SOP-DIGEST.dcm, complete and fsynced before anybody knows them
    spool/drafts/                the Structured Reports that were written

Paths in the database are relative to the spool, so it can be moved.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import mmap
import os
import shutil
import struct
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from io import BytesIO
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID

from dicom_io.errors import StoreFull

_PREAMBLE = bytes(128) + b"DICM"
# A file that nobody holds a lock on was left by a killed process, unless it was just made
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
        self._durable_folders: set[Path] = set()
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

    def begin_instance(self, head: bytes) -> IncomingFile:
        """Open a file for an instance that arrives piece by piece.

        Parameters
        ----------
        head : bytes
            What stands before the data set, see `file_head`.

        Raises
        ------
        StoreFull
            The disk is full, or under its floor, or cannot be written.
        """
        self.require_space()
        return self._begin(head)

    def keep_instance(self, incoming: IncomingFile, study: str, sop_instance: str) -> str:
        """Make an instance durable: its bytes, then its name.

        Parameters
        ----------
        incoming : IncomingFile
            Complete. The digest of its data set becomes part of the name: the same bytes get the
            same file, other bytes under the same UID never overwrite it.
        study, sop_instance : str
            Validated UIDs.

        Returns
        -------
        str
            The path relative to the spool.

        Raises
        ------
        StoreFull
            The disk is full, or cannot be written.
        """
        target = self._instances / study / f"{sop_instance}-{incoming.digest[:16]}.dcm"
        with _refusals():
            self._make_folder(target.parent)
            incoming.sync()
            incoming.move_to(target)
            sync_folder(target.parent)
        return str(target.relative_to(self.root))

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
        target = self._drafts / f"{sr.SOPInstanceUID}.dcm"
        with closing(self._begin(buffer.getvalue())) as file, _refusals():
            file.sync()
            file.move_to(target)
        sync_folder(self._drafts)
        return str(target.relative_to(self.root))

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
            with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if time.time() - path.stat().st_mtime > _LEFTOVER_S:
                    path.unlink()
                    removed += 1
        return removed

    def _begin(self, head: bytes) -> IncomingFile:
        with _refusals():
            return IncomingFile(self._incoming / uuid.uuid4().hex, head)

    def _make_folder(self, folder: Path) -> None:
        if folder in self._durable_folders and folder.is_dir():
            return
        folder.mkdir(exist_ok=True)
        # Even where it stands: the thread that has just made it may not have come to this line
        sync_folder(self._instances)
        self._durable_folders.add(folder)


class IncomingFile:
    """A file that is written and hashed while its instance arrives.

    Parameters
    ----------
    path : Path
        Where it lies until it is moved to its place, or removed.
    head : bytes
        What stands in it before the data set.
    """

    def __init__(self, path: Path, head: bytes) -> None:
        self._path = path
        self._stays = False
        self._head = len(head)
        self._sha256 = hashlib.sha256()
        self._file = path.open("x+b", buffering=0)
        fcntl.flock(self._file, fcntl.LOCK_EX)  # see Spool.remove_leftovers
        try:
            self._write(head)
        except OSError:
            self.close()
            raise

    @property
    def digest(self) -> str:
        """SHA-256 of the data set, in hex."""
        return self._sha256.hexdigest()

    @property
    def size(self) -> int:
        return self._file.tell()

    def write(self, data: bytes | bytearray) -> None:
        """Add a part of the data set."""
        self._sha256.update(data)
        with _refusals():
            self._write(data)

    def data_set(self) -> memoryview:
        """Return the data set, which stays on the disk."""
        return memoryview(mmap.mmap(self._file.fileno(), 0, prot=mmap.PROT_READ))[self._head :]

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def move_to(self, target: Path) -> None:
        """Give it the name under which it stays."""
        self._path.replace(target)
        self._stays = True

    def close(self) -> None:
        """Close it, and remove it unless it stays."""
        self._file.close()
        if not self._stays:
            self._path.unlink(missing_ok=True)

    def _write(self, data: bytes | bytearray) -> None:
        remaining = memoryview(data)
        while remaining:
            remaining = remaining[self._file.write(remaining) :]


@contextmanager
def _refusals() -> Iterator[None]:
    """Have the sender keep what the disk does not take."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StoreFull(f"the spool's disk is full: {error.strerror}") from error
        cause = errno.errorcode.get(error.errno or 0, "unknown error")
        raise StoreFull(f"the spool cannot be written: {cause}") from error


def file_head(
    sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, source_ae_title: str
) -> bytes:
    """Encode preamble and File Meta Information (PS3.10 7.1).

    Parameters
    ----------
    sop_class_uid, sop_instance_uid, transfer_syntax_uid : str
        Of the data set that follows.
    source_ae_title : str
        Who sent it.
    """
    # (0002,0001) FileMetaInformationVersion, OB: the one long form of PS3.5 7.1.2 among short ones
    elements = struct.pack("<HH2sxxLBB", 0x0002, 0x0001, b"OB", 2, 0, 1)
    for element, vr, value, padding in (
        (0x0002, b"UI", sop_class_uid, b"\0"),
        (0x0003, b"UI", sop_instance_uid, b"\0"),
        (0x0010, b"UI", transfer_syntax_uid, b"\0"),
        (0x0012, b"UI", PYDICOM_IMPLEMENTATION_UID, b"\0"),
        (0x0016, b"AE", source_ae_title, b" "),
    ):
        encoded = value.encode("ascii", "replace")
        encoded += padding * (len(encoded) % 2)
        elements += struct.pack("<HH2sH", 0x0002, element, vr, len(encoded)) + encoded
    return _PREAMBLE + struct.pack("<HH2sHL", 0x0002, 0, b"UL", 4, len(elements)) + elements


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
