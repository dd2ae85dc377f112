"""A private PostgreSQL cluster of Debian's server, on a Unix socket, for one test run."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import create_engine, text

_INSTALLATIONS = Path("/usr/lib/postgresql")
# Nothing here outlives the run, and many short-lived databases keep autovacuum busy for nothing
_SETTINGS = "-c listen_addresses='' -c fsync=off -c full_page_writes=off -c autovacuum=off"


class Cluster:
    """Makes a database for each test, and drops it after."""

    def __init__(self, sockets: Path) -> None:
        self._sockets = quote(str(sockets), safe="")
        self._admin = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://ctscribe@/{database}?host={self._sockets}"

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """Make a copy of a database that nobody is connected to; yields its name."""
        name = f"test_{uuid.uuid4().hex}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield name
        finally:
            self._run(f"DROP DATABASE {name} WITH (FORCE)")

    def _run(self, statement: str) -> None:
        with self._admin.connect() as connection:
            connection.execute(text(statement))

    def close(self) -> None:
        self._admin.dispose()


def server_binaries() -> Path | None:
    """The newest installed server's programs; None if there is none."""
    found = sorted(_INSTALLATIONS.glob("*/bin/initdb"))
    return found[-1].parent if found else None


@contextmanager
def running_cluster(binaries: Path) -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
    data = folder / "data"
    initdb = [binaries / "initdb", "-D", data, "-U", "ctscribe", "-A", "trust", "-E", "UTF8", "-N"]
    pg_ctl = [binaries / "pg_ctl", "-D", data, "-w"]
    try:
        _run(*initdb)
        _run(*pg_ctl, "-l", folder / "log", "-o", f"-k {folder} {_SETTINGS}", "start")
        cluster = Cluster(folder)
        try:
            yield cluster
        finally:
            cluster.close()
            _run(*pg_ctl, "-m", "immediate", "stop")
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
