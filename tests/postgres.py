"""A private PostgreSQL cluster of Debian's server, on a Unix socket, for one test run."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

_INSTALLATIONS = Path("/usr/lib/postgresql")


def server_binaries() -> Path | None:
    """The newest installed server's programs; None if there is none."""
    found = sorted(_INSTALLATIONS.glob("*/bin/initdb"))
    return found[-1].parent if found else None


@contextmanager
def running_cluster(binaries: Path) -> Iterator[str]:
    """Run a cluster; yields the URL of its server, to which a database name is added."""
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
    data = folder / "data"
    try:
        _run(binaries / "initdb", "-D", data, "-U", "ctscribe", "-A", "trust", "-E", "UTF8")
        settings = f"-k {folder} -c listen_addresses='' -c fsync=off"
        _run(binaries / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", settings, "start")
        try:
            yield f"postgresql+psycopg://ctscribe@/{{}}?host={quote(str(folder), safe='')}"
        finally:
            _run(binaries / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(*command: object) -> None:
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    subprocess.run(
        [*prefix, *map(str, command)],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd="/tmp",
        timeout=120,
    )
