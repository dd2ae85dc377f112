"""Who of the service's processes lives: a locked file each in the spool, touched every second.

The kernel lets go of the lock when a process dies, however it dies; one that is stopped or hangs
keeps the lock, and touches nothing. That tells the three apart without the database.
"""

from __future__ import annotations

import fcntl
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dicom_io.errors import PluginError
from plugin.state.files.private import PRIVATE_FILE, make_private

FOLDER = "processes"  # in the spool
BEAT_S = 1.0
# Longer than a disk that is written to the full keeps a process waiting
SILENT_S = 30.0
# The largest checkpoint comes from a slow disk in less
STARTS_S = 900.0


@dataclass(frozen=True)
class Process:
    """A process of the service that has not ended in order."""

    part: str
    host: str
    pid: int
    state: str
    """alive, hangs or dead."""

    def __str__(self) -> str:
        return f"{self.part} (process {self.pid} on {self.host}) {self.state}"


class Pulse:
    """The heartbeat of this process.

    Parameters
    ----------
    spool : Path
        Whose service it belongs to.
    part : str
        What it does: receive, work or deliver.
    """

    def __init__(self, spool: Path, part: str) -> None:
        self._path = path_of(spool, part, os.getpid())
        make_private(self._path.parent)
        _forget_dead(self._path.parent)
        self._file = _locked(self._path)
        self._ended = threading.Event()
        self.expect(STARTS_S)
        self._thread = threading.Thread(target=self._beat, name="pulse", daemon=True)
        self._thread.start()

    def expect(self, seconds: float) -> None:
        """Say that the process hangs unless this is called again within so long."""
        self._until = time.monotonic() + seconds

    @property
    def hangs(self) -> bool:
        """Whether what was begun takes longer than was said."""
        return time.monotonic() > self._until

    def close(self) -> None:
        """End in order: nobody will miss the process."""
        self._ended.set()
        self._thread.join()
        self._path.unlink(missing_ok=True)
        os.close(self._file)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_S):
            if not self.hangs:
                os.utime(self._file)


def this_process() -> str:
    """Name this process among those of all hosts, as the database does."""
    return f"process {os.getpid()} on {socket.gethostname()[:64]}"


def path_of(spool: Path, part: str, pid: int) -> Path:
    """Return the file of a process on this host.

    Parameters
    ----------
    spool : Path
        Folder of the spool.
    part : str
        Of the service.
    pid : int
        Process id.
    """
    return spool / FOLDER / f"{part}.{pid}@{socket.gethostname()}"


def last_beat(spool: Path, part: str, pid: int) -> int | None:
    """Return when a process on this host was last heard; None before its first word.

    Parameters
    ----------
    spool, part, pid
        The process.
    """
    with suppress(FileNotFoundError):
        return path_of(spool, part, pid).stat().st_mtime_ns
    return None


def processes(spool: Path) -> list[Process]:
    """Return the processes of the service, on all hosts that share the spool."""
    found = []
    for path in sorted((spool / FOLDER).glob("*.*@*")):
        part, _, rest = path.name.partition(".")
        pid, _, host = rest.partition("@")
        with suppress(FileNotFoundError):
            found.append(Process(part, host, int(pid), _state(path)))
    return found


@contextmanager
def alone(spool: Path) -> Iterator[None]:
    """Be the only `ctscribe serve` of a spool for the length of a `with` block.

    Raises
    ------
    PluginError
        There is one already.
    """
    make_private(spool / FOLDER)
    with (spool / FOLDER / "serve").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise PluginError(f"{spool} is served already, by {file.read()}") from None
        file.truncate(0)
        file.write(this_process())
        file.flush()
        yield


def _state(path: Path) -> str:
    if not _is_locked(path):
        return "dead"
    # Also in a future that a set clock took back: the next beat mends it
    return "alive" if abs(time.time() - path.stat().st_mtime) < SILENT_S else "hangs"


def _is_locked(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _locked(path: Path) -> int:
    """Make and lock a file; again if somebody took it for a dead process's in between."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
        fcntl.flock(file, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(path.stat(), os.fstat(file)):
                return file
        os.close(file)


def _forget_dead(folder: Path) -> None:
    """Remove the files of this host's dead processes: another one takes their place."""
    for path in folder.glob(f"*.*@{socket.gethostname()}"):
        with suppress(FileNotFoundError):
            if not _is_locked(path):
                path.unlink()
