"""A backup becomes a service again, in an empty spool and an empty database."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from alembic import command
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, inspect, make_url, text

from dicom_io.errors import ConfigurationError
from plugin.state.database import connect, migrations
from plugin.state.files.private import make_private, make_private_file
from plugin.upkeep.backup import (
    DATABASE,
    FORMAT,
    MANIFEST,
    SPOOL,
    TABLES,
    Manifest,
    listed,
    make_folders,
    quoted,
    require_empty,
)

_BLOCK = 2**20


def restore(source: Path, url: str, spool: Path) -> Manifest:
    """Put a backup into the empty places that the settings name.

    Parameters
    ----------
    source : Path
        As `back_up` wrote it.
    url, spool
        Of the service to be.

    Raises
    ------
    ConfigurationError
        There is no complete backup, or it is of another kind of database or of a later version,
        or spool or database hold something.
    """
    manifest = _read(source)
    if (dialect := make_url(url).get_backend_name()) != manifest.dialect:
        raise ConfigurationError(f"the backup is of {manifest.dialect}, the settings of {dialect}")
    _require_complete(source)
    require_empty(spool, "the spool")
    engine = _empty_database(url)
    try:
        make_private(spool)
        for _, path in listed(source):
            make_folders(spool, path)
            _copy(source / SPOOL / path, spool / path)
        # The database comes last: without it no service takes the spool for its own
        if manifest.dialect == "sqlite":
            _copy(source / DATABASE, Path(make_url(url).database or ""))
        else:
            with engine.begin() as connection:
                _fill(connection, source, manifest)
    finally:
        engine.dispose()
    return manifest


def _read(source: Path) -> Manifest:
    path = source / MANIFEST
    if not path.is_file():
        raise ConfigurationError(f"{source} is no complete backup: it has no {MANIFEST}")
    values = json.loads(path.read_text("utf-8"))
    if values.get("format") != FORMAT:
        raise ConfigurationError(f"{source} was made by another version of ctscribe")
    return Manifest(**values)


def _require_complete(source: Path) -> None:
    for size, path in listed(source):
        file = source / SPOOL / path
        if not file.is_file() or file.stat().st_size != size:
            raise ConfigurationError(f"the backup {source} is damaged: {path} is not as it was")


def _empty_database(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        if Path(parsed.database or "").exists():
            raise ConfigurationError(f"there is a database at {parsed.database}: name a new place")
        return connect("sqlite://")
    engine = connect(url)
    with engine.connect() as connection:
        tables = inspect(connection).get_table_names()
    if tables:
        engine.dispose()
        raise ConfigurationError(
            f"the database {parsed.database} has tables: make an empty one, and name it in "
            "storage.database"
        )
    return engine


def _fill(connection: Connection, source: Path, manifest: Manifest) -> None:
    """Make the tables as they were then, and fill them; the service's start brings them forward."""
    try:
        command.upgrade(migrations(connection), manifest.revision)
    except CommandError as error:
        raise ConfigurationError(
            f"the backup {source} was made by a later version of ctscribe: install that one"
        ) from error
    columns = manifest.columns or {}
    # What a trigger would do was done when the rows were written first
    for table in columns:
        connection.execute(text(f"ALTER TABLE {quoted(connection, [table])} DISABLE TRIGGER USER"))
    connection.execute(text(f"TRUNCATE {quoted(connection, columns)}"))
    for table, names in columns.items():
        statement = f"COPY {quoted(connection, [table])} ({quoted(connection, names)}) FROM STDIN"
        with (source / TABLES / table).open("rb") as file:
            _copy_in(connection, statement, file)
        connection.execute(text(f"ALTER TABLE {quoted(connection, [table])} ENABLE TRIGGER USER"))
    for sequence, last in (manifest.sequences or {}).items():
        values = {"sequence": quoted(connection, [sequence]), "last": last}
        connection.execute(text("SELECT setval(:sequence, :last)"), values)


def _copy_in(connection: Connection, statement: str, file: Any) -> None:
    cursor: Any = connection.connection.cursor()
    with cursor.copy(statement) as copy:
        while block := file.read(_BLOCK):
            copy.write(block)


def _copy(source: Path, target: Path) -> None:
    make_private_file(target)
    shutil.copyfile(source, target)
