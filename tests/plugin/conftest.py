"""The service's tests run on SQLite and on PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from plugin.state.database import SessionFactory, open_database, session_factory
from plugin.state.files.spool import Spool
from tests.postgres import Cluster, running_cluster, server_binaries
from tests.services import require

DATABASES = ["sqlite", "postgresql"]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A private PostgreSQL server."""
    binaries = server_binaries()
    require(binaries is not None, "PostgreSQL's server (Debian package postgresql)")
    assert binaries is not None
    with running_cluster(binaries) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def postgres_database(postgres: Cluster) -> Iterator[str]:
    """Name of a database with all tables, for one test after another."""
    with postgres.database() as name:
        open_database(postgres.url(name)).dispose()
        yield name


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with all tables and no row."""
    path = tmp_path_factory.mktemp("database") / "template.db"
    open_database(f"sqlite:///{path}").dispose()
    return path


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a database with all tables and no row."""
    yield from database(request.param, request, tmp_path)


def database(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Yield the URL of a database of a kind."""
    if kind == "sqlite":
        copy = shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "ctscribe.db")
        yield f"sqlite:///{copy}"
        return
    name, cluster = map(request.getfixturevalue, ("postgres_database", "postgres"))
    cluster.empty(name)
    yield cluster.url(name)


@pytest.fixture(params=DATABASES)
def bare_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'bare.db'}"
        return
    cluster = request.getfixturevalue("postgres")
    with cluster.database() as name:
        yield cluster.url(name)


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
