"""The spool: every byte that was acknowledged, in plain DICOM files that never change.

    spool/incoming/              files being written, and links to those that no row names yet
    spool/instances/STUDY/       SOP-DIGEST.dcm, complete and fsynced before anybody knows them
    spool/drafts/                the Structured Reports that were written
    spool/damaged/               what lay among the instances and could not be read
    spool/removed/               what is being deleted, see `plugin.upkeep.keeping.removal`
    spool/processes/             which processes live, see `plugin.state.running.pulse`

Paths in the database are relative to the spool, so it can be moved. A file that gets its name has a
link in `incoming` until its row is committed: whatever a killed process leaves is found there.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import struct
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from io import BytesIO
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID

from dicom_io.errors import StoreFull
from plugin.state.files.incoming import IncomingFile, refusals
from plugin.state.files.private import PRIVATE_FILE, PRIVATE_FOLDER, make_private

_PREAMBLE = bytes(128) + b"DICM"
# A file that nobody holds a lock on was left by a killed process, unless it was just made
_LEFTOVER_S = 60.0
# Enough to know which instance a file was to become, see `incoming.LONGEST_BEGINNING`
_BEGINNING = (1 << 16) + 1024
# A hard link in incoming names a file whose row is not committed yet
_UNRECORDED = ".unrecorded"
# While this stands in incoming, every other file is known to the database. A backup leaves it out
_ALL_KNOWN = "all-known"


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
        self.incoming = root / "incoming"
        self._instances = root / "instances"
        self.drafts = root / "drafts"
        self.damaged = root / "damaged"
        self.removed = root / "removed"
        self._durable_folders: set[str] = set()
        root.mkdir(parents=True, exist_ok=True)
        folders = (self.incoming, self._instances, self.drafts, self.damaged, self.removed)
        for folder in (root, *folders):
            make_private(folder)

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
        # Strings: a path object for every step takes as long as the steps
        folder = f"instances/{study}"
        relative = f"{folder}/{sop_instance}-{incoming.digest[:16]}.dcm"
        with refusals():
            incoming.sync()
            self._announce(incoming, relative)
            self._place(incoming, f"{self.root}/{folder}", f"{self.root}/{relative}")
        return relative

    def write_draft(self, sr: Dataset, beside: Sequence[Dataset] = ()) -> str:
        """Write a report durably and return its path relative to the spool.

        What stands beside it is written first and has no row: it is the report's, whose name tells
        a sweep of all. The floor does not hold for them: it keeps room for the drafts of what was
        acknowledged.

        Raises
        ------
        StoreFull
            The disk is full.
        """
        relative = _draft_path(sr)
        with closing(self._begin(_encoded(sr))) as file, refusals():
            file.sync()
            self._announce(file, relative)
            for one in beside:
                self._write_beside(one)
            file.move_to(f"{self.root}/{relative}")
        sync_folder(self.drafts)
        return relative

    def _write_beside(self, one: Dataset) -> None:
        with closing(self._begin(_encoded(one))) as file:
            file.sync()
            file.move_to(f"{self.root}/{_draft_path(one)}")

    def recorded(self, relative: str) -> None:
        """Forget that the row of a file was still to come; what fails here, a sweep does again."""
        with suppress(OSError):
            os.unlink(self._link(relative))  # noqa: PTH108  one for each slice

    def discard_draft(self, relative: str, beside: Iterable[str] = ()) -> None:
        """Remove a report that no row will name, and what stands beside it."""
        for path in (*beside, relative):
            self.absolute(path).unlink(missing_ok=True)
        self.recorded(relative)

    def sync_folders(self, relatives: Iterable[str]) -> None:
        """Make the names of files durable, one fsync a folder."""
        for folder in {self.absolute(relative).parent for relative in relatives}:
            sync_folder(folder)

    def instance_paths(self) -> Iterator[str]:
        """Yield all that is called like an instance file, relative to the spool."""
        for path in self._instances.glob("*/*.dcm"):
            yield str(path.relative_to(self.root))

    def unrecorded(self) -> list[str]:
        """Return the files that got their names and whose rows may be missing."""
        links = self.incoming.glob(f"*{_UNRECORDED}")
        return sorted(link.name.removesuffix(_UNRECORDED).replace("_", "/") for link in links)

    def is_old(self, relative: str, seconds: float) -> bool:
        """Whether a file got its name longer ago, or in a future that a set clock took back."""
        with suppress(FileNotFoundError):
            return _age_s(Path(self._link(relative))) > seconds
        return False

    @property
    def all_known(self) -> bool:
        """Whether every instance file but those of `unrecorded` has its row."""
        return (self.incoming / _ALL_KNOWN).exists()

    def set_all_known(self) -> None:
        (self.incoming / _ALL_KNOWN).touch(PRIVATE_FILE)

    def is_announced(self, relative: str) -> bool:
        """Whether a file has or gets its name, and its row is still to come."""
        return os.path.lexists(self._link(relative))

    def files_of(self, relative: str) -> Iterator[str]:
        """Yield a file that is there, or those of a folder; all relative to the spool."""
        path = self.absolute(relative)
        for one in path.iterdir() if path.is_dir() else [path]:
            if os.path.lexists(one):
                yield str(one.relative_to(self.root))

    def take_out(self, relative: str) -> None:
        """Move a file to what is being deleted; the name tells where it lay."""
        self.absolute(relative).rename(self.removed / _in_one_name(relative))

    def put_back(self, relative: str) -> None:
        """Move a file back from what is being deleted."""
        target = self.absolute(relative)
        folder = str(target.parent)
        self._durable_folders.discard(folder)  # it may be deleted as well
        self._make_folder(folder)
        (self.removed / _in_one_name(relative)).rename(target)
        sync_folder(target.parent)

    def taken_out(self) -> list[str]:
        """Return where the files lay that are being deleted."""
        return [path.name.replace("_", "/") for path in self.removed.iterdir()]

    def delete_taken_out(self, relative: str) -> None:
        (self.removed / _in_one_name(relative)).unlink(missing_ok=True)

    def remove_folder(self, relative: str) -> None:
        """Remove a folder unless something lies in it."""
        with suppress(OSError):
            self.absolute(relative).rmdir()

    def set_aside(self, relative: str) -> str:
        """Move what cannot be read out of the way; return where it lies, relative to the spool."""
        target = self.damaged / f"{uuid.uuid4().hex[:8]}-{Path(relative).name}"
        self.absolute(relative).rename(target)
        self.recorded(relative)
        return str(target.relative_to(self.root))

    def remove_leftovers(self, found: Callable[[bytes], None] = lambda _: None) -> int:
        """Remove what killed processes were writing; return how many files.

        Parameters
        ----------
        found : callable
            Given the beginning of each file that nobody is writing, removed now or later.
        """
        removed = 0
        for path in self.incoming.iterdir():
            if path.suffix == _UNRECORDED or path.name == _ALL_KNOWN or not path.is_file():
                continue
            with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                found(file.read(_BEGINNING))
                if _age_s(path) > _LEFTOVER_S:
                    path.unlink()
                    removed += 1
        return removed

    def _link(self, relative: str) -> str:
        return f"{self.incoming}/{_in_one_name(relative)}{_UNRECORDED}"

    def _place(self, incoming: IncomingFile, folder: str, target: str) -> None:
        for again in (True, False):
            self._make_folder(folder)
            try:
                incoming.move_to(target)
                sync_folder(folder)
            except FileNotFoundError:  # the folder was empty, and deleted since it was made
                self._durable_folders.discard(folder)
                if not again:
                    raise
            else:
                return

    def _announce(self, file: IncomingFile, relative: str) -> None:
        with suppress(FileExistsError):  # the same bytes are being received twice
            file.link_to(self._link(relative))

    def _begin(self, head: bytes) -> IncomingFile:
        with refusals():
            return IncomingFile(f"{self.incoming}/{uuid.uuid4().hex}", head)

    def _make_folder(self, folder: str) -> None:
        if folder in self._durable_folders:
            return
        Path(folder).mkdir(PRIVATE_FOLDER, exist_ok=True)
        # Even where it stands: the thread that has just made it may not have come to this line
        sync_folder(self._instances)
        self._durable_folders.add(folder)


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


def _draft_path(dataset: Dataset) -> str:
    return f"drafts/{dataset.SOPInstanceUID}.dcm"


def _encoded(dataset: Dataset) -> bytes:
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _in_one_name(relative: str) -> str:
    # UIDs hold no underscore: the name can be read back
    return relative.replace("/", "_")


def split_file(data: bytes) -> tuple[memoryview, int]:
    """Return the data set of a file that `file_head` begins, and where it starts."""
    # (0002,0000) FileMetaInformationGroupLength counts from its own end (PS3.10 7.1)
    start = len(_PREAMBLE) + 12 + int.from_bytes(data[140:144], "little")
    return memoryview(data)[start:], start


def digest_of(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


def sync_folder(folder: Path | str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _age_s(path: Path) -> float:
    return abs(time.time() - path.lstat().st_mtime)
