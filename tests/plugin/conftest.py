"""The service's tests run on SQLite and on PostgreSQL."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, select, text

from plugin.state.database import SessionFactory, open_database, session_factory
from plugin.state.spool import Spool
from tests.postgres import running_cluster, server_binaries
from tests.services import require


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a private PostgreSQL server, `{}` where the database's name goes."""
    binaries = server_binaries()
    require(binaries is not None, "PostgreSQL's server (Debian package postgresql)")
    assert binaries is not None
    with running_cluster(binaries) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ctscribe.db'}"
    return new_postgres_database(request.getfixturevalue("postgres"))


def new_postgres_database(server: str) -> str:
    name = f"test_{uuid.uuid4().hex}"
    admin = create_engine(server.format("postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    return server.format(name)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_database(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def sessions(engine: Engine) -> SessionFactory:
    return session_factory(engine)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.fixture
def rows(sessions: SessionFactory) -> Callable[[Any], list[Any]]:
    """Every row of a table, in the order in which they were made."""

    def rows(table: Any) -> list[Any]:
        with sessions() as session:
            return list(session.scalars(select(table).order_by(table.id)))

    return rows
