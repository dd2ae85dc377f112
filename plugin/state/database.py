"""One database, SQLite or PostgreSQL, with the same promises: what is committed stays.

SQLite runs in WAL mode with synchronous=FULL, so a commit survives a power cut, and every
transaction that writes begins as a writer, so that none fails half-way because another one wrote
first. One that only reads holds up nobody.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import (
    Connection,
    Engine,
    PoolProxiedConnection,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

from dicom_io.errors import ConfigurationError
from plugin.state.files.private import make_private_file

# SQLite lets one process write at a time. Who waits longer than this waits for one that hangs
BUSY_TIMEOUT_S = 60
# Less than a small transaction takes, and a hundredth of it in processor time
_ASKS_EACH_S = 0.001
_BEGIN = "BEGIN IMMEDIATE"
_WAITS = f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}"
# A thread needs one for a moment; what few processes have is few, see docs/scaling.md
KEPT_CONNECTIONS, MOST_CONNECTIONS = 5, 15
# A server that lost its power is given up after so long, and not after the kernel's quarter hour
_NETWORK = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
_ONLY_READS = "only_reads"
_MIGRATIONS = Path(__file__).parents[1] / "migrations"
# Several processes start at once; one migrates, the others wait. The number is arbitrary.
_MIGRATION_LOCK = 7246911
# Another one, for what several processes notice and one tells
_EVENT_LOCK = 7246913


class SessionFactory(sessionmaker[Session]):
    """Makes sessions: those of `sessions()` only read, those of `sessions.begin()` write.

    Parameters
    ----------
    engine : Engine
        Of the service's database.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, expire_on_commit=False)
        self._reads = engine.execution_options(**{_ONLY_READS: True})

    def __call__(self, **options: Any) -> Session:
        return super().__call__(**{"bind": self._reads, **options})

    @contextmanager
    def begin(self) -> Iterator[Session]:
        with self(bind=self.kw["bind"]) as session, session.begin():
            yield session


def open_database(url: str) -> Engine:
    """Connect, and bring the tables up to date.

    Parameters
    ----------
    url : str
        SQLAlchemy URL, `sqlite:///path` or `postgresql+psycopg://…` (psycopg 3).

    Returns
    -------
    sqlalchemy.Engine
        Pooled, safe to share between threads.
    """
    engine = connect(url)
    with _disposed_unless_done(engine), engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
        migrate(connection)
    return engine


def require_database(url: str) -> None:
    """Refuse a file that is not there: who asks wants to see a service, and not to begin one.

    Raises
    ------
    ConfigurationError
        SQLite has no such database.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        raise ConfigurationError(
            f"there is no database at {parsed.database}: check that -c names the service's file, "
            "and that the service has run"
        )


@contextmanager
def _disposed_unless_done(engine: Engine) -> Iterator[None]:
    try:
        yield
    except BaseException:
        engine.dispose()
        raise


def connect(url: str) -> Engine:
    """Connect without touching the tables."""
    parsed = make_url(url)
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() != "sqlite":
        engine = create_engine(
            parsed,
            pool_pre_ping=True,
            pool_size=KEPT_CONNECTIONS,
            max_overflow=MOST_CONNECTIONS - KEPT_CONNECTIONS,
            connect_args={key: _NETWORK[key] for key in _NETWORK if key not in parsed.query},
        )
        event.listen(engine, "begin", _begin_on_a_server)
        return engine
    pool = {}
    if parsed.database and parsed.database != ":memory:":
        # SQLite gives the files beside it the same mode
        make_private_file(Path(parsed.database))
        # All are kept: to open a file and to set it up takes as long as what is asked of it
        pool = {"pool_size": MOST_CONNECTIONS, "max_overflow": 0}
    engine = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_S}, **pool)
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin)
    return engine


def migrate(connection: Connection) -> None:
    """Run every migration that the database lacks, inside the connection's transaction.

    Raises
    ------
    ConfigurationError
        The database has migrations that this version does not know.
    """
    if MigrationContext.configure(connection).get_current_revision() == _newest():
        return
    try:
        command.upgrade(migrations(connection), "head")
    except CommandError as error:
        raise ConfigurationError(
            "the database was made by another version of ctscribe, which this one does not know: "
            "install that version or a later one, or restore the backup from before the upgrade"
        ) from error


@cache
def _newest() -> str | None:
    """The last of the migrations; to read their files takes ten times what the rest takes."""
    return ScriptDirectory(str(_MIGRATIONS)).get_current_head()


def migrations(connection: Connection) -> Config:
    """What Alembic's commands take, to run inside the connection's transaction."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def reason_of(error: DBAPIError) -> str:
    """What the driver says, in one line; the lines after it may quote a row's values."""
    return (str(error.orig).splitlines() or [type(error.orig).__name__])[0]


def session_factory(engine: Engine) -> SessionFactory:
    """Return the factory that every module takes."""
    return SessionFactory(engine)


def begin_writing(connection: PoolProxiedConnection) -> None:
    """Begin a transaction of SQLite as its one writer, as soon as nobody else is.

    SQLite waits by asking ever more rarely, at last ten times a second: where others write often, a
    store would come too late again and again.

    Raises
    ------
    sqlite3.OperationalError
        Another one wrote for longer than anybody waits.
    """
    driver: Any = connection.dbapi_connection
    ends = time.monotonic() + BUSY_TIMEOUT_S
    driver.execute("PRAGMA busy_timeout = 0").close()
    try:
        while not _is_begun(driver, ends):
            time.sleep(_ASKS_EACH_S)
    finally:
        driver.execute(_WAITS).close()


def _is_begun(driver: sqlite3.Connection, ends: float) -> bool:
    try:
        driver.execute(_BEGIN).close()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > ends:
            raise
        return False
    return True


def one_at_a_time(session: Session) -> None:
    """Wait for every other transaction that called this; SQLite's wait for one another anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"SELECT pg_advisory_xact_lock({_EVENT_LOCK})"))


def _configure_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own transaction handling is off; _begin begins them
    connection.isolation_level = None
    for pragma in (
        _WAITS,
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "PRAGMA foreign_keys = ON",
    ):
        connection.execute(pragma).close()


def _begin_on_a_server(connection: Connection) -> None:
    if connection.get_execution_options().get(_ONLY_READS):
        # It takes a second to compile what then runs for some tenths
        connection.exec_driver_sql("SET LOCAL jit = off")


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().get(_ONLY_READS):
        connection.exec_driver_sql("BEGIN")
        return
    try:
        begin_writing(connection.connection)
    except sqlite3.OperationalError as error:
        raise OperationalError(_BEGIN, None, error) from error
