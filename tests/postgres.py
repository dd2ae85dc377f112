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

from sqlalchemy import NullPool, create_engine, text

_INSTALLATIONS = Path("/usr/lib/postgresql")
# Nothing here outlives the run, and many short-lived databases keep autovacuum busy for nothing
_SETTINGS = "-c listen_addresses='' -c fsync=off -c full_page_writes=off -c autovacuum=off"


# The next test finds no row, and its keys begin at 1: a tenth of the time of a new database
_EMPTY = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid();
SET LOCAL session_replication_role = replica;
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        IF name <> 'alembic_version' THEN EXECUTE format('DELETE FROM %I', name); END IF;
    END LOOP;
END $$;
SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S';
"""


class Cluster:
    """Makes databases, and drops them after."""

    def __init__(self, sockets: Path) -> None:
        self._sockets = quote(str(sockets), safe="")
        self._admin = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://ctscribe@/{database}?host={self._sockets}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """Make a database without tables; yields its name."""
        name = f"test_{uuid.uuid4().hex}"
        self._run(f"CREATE DATABASE {name}")
        try:
            yield name
        finally:
            self._run(f"DROP DATABASE {name} WITH (FORCE)")

    def empty(self, database: str) -> None:
        """Delete every row, and end every connection."""
        engine = create_engine(self.url(database), poolclass=NullPool)
        with engine.begin() as connection:
            connection.execute(text(_EMPTY))

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
def running_cluster(binaries: Path, settings: str = _SETTINGS) -> Iterator[Cluster]:
    """Run a server for the length of a `with` block; `settings` are options of its command."""
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
    data = folder / "data"
    initdb = [binaries / "initdb", "-D", data, "-U", "ctscribe", "-A", "trust", "-E", "UTF8", "-N"]
    pg_ctl = [binaries / "pg_ctl", "-D", data, "-w"]
    try:
        _run(*initdb)
        _run(*pg_ctl, "-l", folder / "log", "-o", f"-k {folder} {settings}", "start")
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
