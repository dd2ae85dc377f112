from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from dicom_io.errors import ConfigurationError
from plugin.state.database import (
    SessionFactory,
    connect,
    migrate,
    migrations,
    open_database,
    reason_of,
    session_factory,
)
from plugin.state.tables import Base, Event, Hold, Job, Study

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def a_study(uid: str = "1.2.3") -> Study:
    return Study(study_instance_uid=uid, first_received_at=NOON, last_received_at=NOON)


def test_the_migrations_make_exactly_the_tables_of_the_models(engine: Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_opening_a_database_again_changes_nothing(engine: Engine, database_url: str) -> None:
    again = open_database(database_url)
    with again.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).all() != []
    again.dispose()


def test_a_database_of_a_later_version_is_refused_with_what_to_do(
    engine: Engine, database_url: str
) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match=r"another version .* restore the backup"):
        open_database(database_url)


def test_processes_that_start_together_migrate_once(bare_database_url: str) -> None:
    failures: list[Exception] = []

    def start() -> None:
        try:
            open_database(bare_database_url).dispose()
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_open_associations_outlive_the_renaming_of_their_table(bare_database_url: str) -> None:
    """A database of the first release, with data in it."""
    engine = connect(bare_database_url)

    with engine.begin() as connection:
        command.upgrade(migrations(connection), "0001")
        for statement in (
            "INSERT INTO studies VALUES (7, '1.2', NULL, :noon, :noon, 'receiving')",
            "INSERT INTO associations VALUES (3, 'receiver', 'a', 7, :noon)",
            "INSERT INTO associations VALUES (5, 'receiver', 'b', 7, :noon)",
        ):
            connection.execute(text(statement), {"noon": NOON})
        migrate(connection)
    with session_factory(engine).begin() as session:
        assert [hold.association for hold in session.scalars(select(Hold))] == ["a", "b"]
        session.add(Hold(association="c", study_id=7, heartbeat=NOON))
        session.flush()
    engine.dispose()


def test_sqlite_keeps_what_it_committed(tmp_path) -> None:  # type: ignore[no-untyped-def]
    engine = open_database(f"sqlite:///{tmp_path / 'x.db'}")
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
    engine.dispose()


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_nobody_else_reads_the_database_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        engine = open_database(f"sqlite:///{tmp_path / 'new' / 'x.db'}")
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM events"))
            modes = {path: path.stat().st_mode & 0o777 for path in (tmp_path / "new").iterdir()}
        engine.dispose()
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600}
    assert len(modes) > 1  # the write-ahead log, too


def test_a_database_that_an_earlier_version_left_open_is_closed(tmp_path: Path) -> None:
    (tmp_path / "x.db").touch(0o644)
    open_database(f"sqlite:///{tmp_path / 'x.db'}").dispose()
    assert (tmp_path / "x.db").stat().st_mode & 0o777 == 0o600


def test_moments_come_back_in_utc(sessions: SessionFactory) -> None:
    summer = datetime(2026, 7, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    with sessions.begin() as session:
        session.add(Event(time=summer, kind="k", message="m"))
    with sessions.begin() as session:
        (event,) = session.query(Event).all()
        assert event.time == summer
        assert event.time.utcoffset() == timedelta(0)


def test_a_study_has_at_most_one_pending_job(sessions: SessionFactory) -> None:
    def job(revision: int) -> Job:
        return Job(
            study_id=1,
            revision=revision,
            deadline=NOON,
            hard_deadline=NOON,
            not_before=NOON,
            created_at=NOON,
        )

    with sessions.begin() as session:
        session.add(a_study())
        session.flush()
        session.add(job(1))
    with pytest.raises(IntegrityError), sessions.begin() as session:
        session.add(job(2))


def test_a_drivers_words_are_told_without_the_values_of_a_row() -> None:
    error = DBAPIError("INSERT", {}, Exception("duplicate key\nDETAIL:  Key (x)=(Zebra) exists"))
    assert reason_of(error) == "duplicate key"
    assert reason_of(DBAPIError("SELECT", {}, ValueError())) == "ValueError"
