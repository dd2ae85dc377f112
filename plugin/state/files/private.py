"""Images and names of patients lie in the spool: it is for the service's user alone."""

from __future__ import annotations

import os
from pathlib import Path

# Whatever the umask is
PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700


def make_private(folder: Path) -> None:
    """Make a folder for the service's user alone; close one that an earlier version left open."""
    folder.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
    _close(folder, PRIVATE_FOLDER)


def make_private_file(path: Path) -> None:
    """Make a file that only the service's user reads, unless it is there; then close it."""
    path.parent.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
    path.touch(PRIVATE_FILE)
    _close(path, PRIVATE_FILE)


def _close(path: Path, mode: int) -> None:
    status = path.stat()
    if status.st_mode & 0o077 and status.st_uid == os.geteuid():
        path.chmod(mode)
