"""What the spool lies on: a network file system may lack what several hosts rely on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
# By the first word of the kernel's name, such as fuse.s3fs; see docs/scaling.md
_UNSAFE = {
    "cifs": "locks and renames of SMB behave in another way",
    "smb3": "locks and renames of SMB behave in another way",
    "nfs": "locks of NFS 3 may outlive the host that held them",
    "fuse.sshfs": "it has no locks between hosts",
    "fuse.s3fs": "object storage has no hard links",
    "fuse.rclone": "object storage has no hard links",
    "fuse.goofys": "object storage has no hard links",
}
_UNSAFE_OPTIONS = {
    "nfs4": {
        "soft": "a slow server loses what is written",
        "local_lock=all": "locks hold on one host only",
    },
    "lustre": {
        "localflock": "locks hold on one host only",
        "noflock": "there are no locks",
    },
}


@dataclass(frozen=True)
class FileSystem:
    """A mounted file system.

    Parameters
    ----------
    kind : str
        As the kernel calls it.
    options : frozenset of str
        Of the mount and of the file system.
    """

    kind: str
    options: frozenset[str]

    @property
    def fault(self) -> str | None:
        """Say why several hosts cannot share a spool on it; None if nothing is known."""
        if self.kind in _UNSAFE:
            return f"{self.kind}: {_UNSAFE[self.kind]}"
        for option, why in _UNSAFE_OPTIONS.get(self.kind, {}).items():
            if option in self.options:
                return f"{self.kind} mounted with {option}: {why}"
        return None


def file_system_of(path: Path, mounts: Path = _MOUNTS) -> FileSystem | None:
    """Return what a path lies on; None where the kernel does not tell.

    Parameters
    ----------
    path : Path
        Of anything that exists.
    mounts : Path
        The kernel's list, see proc(5).
    """
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return None
    found, longest, resolved = None, -1, path.resolve()
    for line in lines:
        mount, _, file_system = (part.split() for part in line.partition(" - "))
        point = Path(mount[4].replace("\\040", " "))
        # Of mounts over one another the last is seen
        if resolved.is_relative_to(point) and len(point.parts) >= longest:
            longest = len(point.parts)
            options = {*mount[5].split(","), *file_system[2].split(",")}
            found = FileSystem(file_system[0], frozenset(options))
    return found
