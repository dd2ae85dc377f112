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
from plugin.state.files.private import PRIVATE_FILE

Buffer = bytes | bytearray | memoryview
# The header of a CT object takes 10 KB, before private sequences of any length
LONGEST_BEGINNING = 1 << 16
_FULL = (errno.ENOSPC, errno.EDQUOT)


class IncomingFile:
    """A file that is written and hashed while its instance arrives.

    Parameters
    ----------
    path : str
        Where it lies until it is moved to its place, or removed.
    head : bytes
        What stands in it before the data set.
    """

    def __init__(self, path: str, head: bytes) -> None:
        self._path = path
        self._stays = False
        self._head = len(head)
        self._sha256 = hashlib.sha256()
        self.beginning = bytearray()
        """The first bytes of the data set, at most `LONGEST_BEGINNING`."""
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

    @property
    def data_size(self) -> int:
        """How many bytes of the data set there are."""
        return self._file.tell() - self._head

    def write(self, data: Buffer) -> None:
        """Add a part of the data set."""
        self._hash(data)
        self.beginning += data[: LONGEST_BEGINNING - len(self.beginning)]
        with refusals():
            self._write(data)

    def data_set(self) -> memoryview:
        """Return the data set, which stays on the disk."""
        return memoryview(mmap.mmap(self._file.fileno(), 0, prot=mmap.PROT_READ))[self._head :]

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def link_to(self, link: str) -> None:
        """Give it a second name."""
        os.link(self._path, link)

    def move_to(self, target: str) -> None:
        """Give it the name under which it stays."""
        os.replace(self._path, target)  # noqa: PTH105  one for each slice
        self._stays = True

    def close(self) -> None:
        """Close it, and remove it unless it stays."""
        self._file.close()
        if not self._stays:
            Path(self._path).unlink(missing_ok=True)

    def _hash(self, data: Buffer) -> None:
        self._sha256.update(data)

    def _write(self, data: Buffer) -> None:
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
