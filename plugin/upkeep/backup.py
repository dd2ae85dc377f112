"""A backup: one picture of the database, and every file of the spool that it names.

    backup.json          what it is; written at the end, so that a backup without it is none
    files.txt            size and path of every file, a line each
    ctscribe.db          the database, where it is SQLite
    tables/NAME          its tables as PostgreSQL's COPY writes them, where it is PostgreSQL
    spool/               the files, under their paths in the spool

A file of the spool has its bytes before a row names it, and never changes. So whatever the picture
names can be copied afterwards, while the service runs.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alembic.migration import MigrationContext
from sqlalchemy import Column, Connection, Engine, exists, inspect, make_url, select, text

from dicom_io.counted import counted
from dicom_io.errors import ConfigurationError, PluginError
from plugin.state.audit import AuditCut
from plugin.state.columns import Base
from plugin.state.database import connect
from plugin.state.files.private import PRIVATE_FOLDER, make_private, make_private_file

MANIFEST, FILES = "backup.json", "files.txt"
DATABASE, TABLES, SPOOL = "ctscribe.db", "tables", "spool"
FORMAT = 1
# Tables of what is being removed
_GOING = ("removals",)


@dataclass(frozen=True)
class Manifest:
    """What a backup is.

    Parameters
    ----------
    begun : str
        When: all that was acknowledged before is in it. ISO 8601, UTC.
    dialect : str
        sqlite or postgresql.
    revision : str
        Of the tables.
    files, bytes : int
        What of the spool is in it.
    columns : dict
        Of each table, in the order of its file; parents stand before children.
    sequences : dict
        The last value that each gave; PostgreSQL only.
    """

    begun: str
    dialect: str
    revision: str
    files: int = 0
    bytes: int = 0
    columns: dict[str, list[str]] | None = None
    sequences: dict[str, int] | None = None
    format: int = FORMAT


def back_up(url: str, spool: Path, target: Path, base: Path | None = None) -> Manifest:
    """Write a backup, whatever the service does meanwhile.

    Parameters
    ----------
    url, spool
        Of the service.
    target : Path
        An empty folder, or none.
    base : Path, optional
        An earlier backup on the same file system: what is in it is linked and not copied.

    Raises
    ------
    ConfigurationError
        There is no database, the target is in the spool, or something lies in it.
    PluginError
        A file that a row names is not in the spool.
    """
    if target.resolve().is_relative_to(spool.resolve()):
        raise ConfigurationError(f"the backup's folder {target} is in the spool: name another one")
    require_empty(target, "the backup's folder")
    make_private(target)
    begun = datetime.now(UTC).isoformat()
    engine = connect(_existing(url))
    try:
        with engine.connect() as connection:
            picture = _picture(connection, url, target)
        lost = list(_copy_files(spool, target, base, lambda path: _is_named(engine, path)))
    finally:
        engine.dispose()
    if lost:
        files = counted(len(lost), "file that a row names is", "files that rows name are")
        raise PluginError(
            f"{files} not in the spool, such as {lost[0]}: the backup is not complete"
        )
    sizes = [size for size, _ in listed(target)]
    manifest = Manifest(begun=begun, files=len(sizes), bytes=sum(sizes), **picture)
    os.sync()  # one for hundreds of thousands of files
    write(target / MANIFEST, json.dumps(asdict(manifest), indent=2))
    os.sync()
    return manifest


def require_empty(folder: Path, what: str) -> None:
    """Refuse a folder that holds anything."""
    if folder.exists() and any(folder.iterdir()):
        raise ConfigurationError(f"{what} {folder} is not empty: name a new one")


def listed(backup: Path) -> Iterator[tuple[int, str]]:
    """Yield size and path of every file of a backup."""
    with (backup / FILES).open(encoding="utf-8") as lines:
        for line in lines:
            size, _, path = line.rstrip("\n").partition(" ")
            yield int(size), path


def write(path: Path, content: str) -> None:
    """Write a file for the service's user alone."""
    make_private_file(path)
    path.write_text(content, "utf-8")


def copy_table(cursor: Any, statement: str, path: Path) -> None:
    """Write what a COPY … TO STDOUT gives.

    Parameters
    ----------
    cursor : object
        Of psycopg.
    statement : str
        The COPY.
    path : Path
        The file to write.
    """
    make_private_file(path)
    with path.open("wb") as file, cursor.copy(statement) as copy:
        for block in copy:
            file.write(block)


def quoted(connection: Connection, names: Iterable[str]) -> str:
    """Return names as SQL writes them."""
    return ", ".join(map(connection.dialect.identifier_preparer.quote, names))


def _existing(url: str) -> str:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        raise ConfigurationError(f"there is no database at {parsed.database}")
    return url


def _picture(connection: Connection, url: str, target: Path) -> dict[str, Any]:
    """Copy the database as it is at one moment, and list the files that it names then."""
    if connection.dialect.name == "sqlite":
        _copy_sqlite(Path(make_url(url).database or ""), target / DATABASE)
        copied = connect(f"sqlite:///{target / DATABASE}")
        try:
            with copied.connect() as picture:
                return _listed(picture, target)
        finally:
            copied.dispose()
    connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    columns = _columns(connection)
    make_private(target / TABLES)
    cursor = connection.connection.cursor()
    for table, names in columns.items():
        statement = f"COPY {quoted(connection, [table])} ({quoted(connection, names)}) TO STDOUT"
        copy_table(cursor, statement, target / TABLES / table)
    rows = connection.execute(text("SELECT sequencename, last_value FROM pg_sequences"))
    sequences = {name: last for name, last in rows if last is not None}
    return {**_listed(connection, target), "columns": columns, "sequences": sequences}


def _copy_sqlite(source: Path, target: Path) -> None:
    make_private_file(target)
    with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target)) as written:
        read.backup(written)


def _columns(connection: Connection) -> dict[str, list[str]]:
    inspector = inspect(connection)
    ordered = [name for name, _ in inspector.get_sorted_table_and_fkc_names() if name]
    return {
        name: [column["name"] for column in inspector.get_columns(name)]
        for name in ordered
        if name != "alembic_version"
    }


def _listed(connection: Connection, target: Path) -> dict[str, Any]:
    write(target / FILES, "")
    with (target / FILES).open("w", encoding="utf-8") as file:
        # The files of cuts of the audit trail may have been moved away
        for column in (*path_columns(), AuditCut.metadata.tables["audit_cuts"].c.file):
            paths = select(column).where(column != "").distinct()
            for (path,) in connection.execution_options(yield_per=10_000).execute(paths):
                file.write(f"0 {path}\n")
    revision = MigrationContext.configure(connection).get_current_revision()
    return {"dialect": connection.dialect.name, "revision": revision or ""}


def path_columns() -> list[Column[Any]]:
    """Return every column that names a file of the spool which is to stay."""
    return [
        column
        for table in Base.metadata.sorted_tables
        for column in table.columns
        if (column.name == "path" or column.name.endswith("_path")) and table.name not in _GOING
    ]


def _is_named(engine: Engine, path: str) -> bool:
    """Whether a row names a file still."""
    with engine.connect() as connection:
        return any(
            connection.scalar(select(exists().where(column == path))) for column in path_columns()
        )


def _copy_files(
    spool: Path, target: Path, base: Path | None, is_named: Callable[[str], bool]
) -> Iterator[str]:
    """Copy all files that are listed, and write their sizes; yield those that are lost."""
    paths = sorted({path for _, path in listed(target)})
    with (target / FILES).open("w", encoding="utf-8") as file:
        for path in paths:
            try:
                size = _copy_file(path, spool, target / SPOOL, base and base / SPOOL)
            except FileNotFoundError:
                if is_named(path):  # else its row went before the file did, after the picture
                    yield path
                continue
            file.write(f"{size} {path}\n")


def _copy_file(path: str, source: Path, target: Path, base: Path | None) -> int:
    size = (source / path).stat().st_size
    make_folders(target, path)
    earlier = None if base is None else base / path
    if earlier is not None and earlier.is_file() and earlier.stat().st_size == size:
        os.link(earlier, target / path)
    else:
        make_private_file(target / path)
        shutil.copyfile(source / path, target / path)
    return size


def make_folders(root: Path, path: str) -> None:
    """Make the folders of a file, each for the service's user alone."""
    for folder in reversed(Path(path).parents):
        (root / folder).mkdir(PRIVATE_FOLDER, exist_ok=True)
