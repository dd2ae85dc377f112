"""A file that is being received: hashed while it is written, locked until it has its name."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dicom_io.errors import StoreFull
from plugin.state.private import PRIVATE_FILE

_FULL = (errno.ENOSPC, errno.EDQUOT)


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
        made = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
        self._file = os.fdopen(made, "r+b", buffering=0)
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
        self._hash(data)
        with refusals():
            self._write(data)

    def data_set(self) -> memoryview:
        """Return the data set, which stays on the disk."""
        return memoryview(mmap.mmap(self._file.fileno(), 0, prot=mmap.PROT_READ))[self._head :]

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def link_to(self, link: Path) -> None:
        """Give it a second name."""
        link.hardlink_to(self._path)

    def move_to(self, target: Path) -> None:
        """Give it the name under which it stays."""
        self._path.replace(target)
        self._stays = True

    def close(self) -> None:
        """Close it, and remove it unless it stays."""
        self._file.close()
        if not self._stays:
            self._path.unlink(missing_ok=True)

    def _hash(self, data: bytes | bytearray) -> None:
        self._sha256.update(data)

    def _write(self, data: bytes | bytearray) -> None:
        remaining = memoryview(data)
        while remaining:
            remaining = remaining[self._file.write(remaining) :]


@contextmanager
def refusals() -> Iterator[None]:
    """Have the sender keep what the disk does not take.

    Raises
    ------
    StoreFull
        The disk is full, or cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StoreFull(f"the spool's disk is full: {error.strerror}") from error
        cause = errno.errorcode.get(error.errno or 0, "unknown error")
        raise StoreFull(f"the spool cannot be written: {cause}") from error
