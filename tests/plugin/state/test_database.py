from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import (
    JSON,
    Boolean,
    Connection,
    DateTime,
    Engine,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    insert,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError, IntegrityError

from dicom_io.errors import ConfigurationError
from plugin.state import audit  # noqa: F401  its tables are models, too
from plugin.state.columns import Base
from plugin.state.database import (
    SessionFactory,
    connect,
    migrate,
    migrations,
    open_database,
    reason_of,
    session_factory,
)
from plugin.state.tables import Delivery, Event, Hold, Job, Quarantine, Study
from plugin.upkeep.alarms import tables as alarm_tables  # noqa: F401  as well

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def a_study(uid: str = "1.2.3") -> Study:
    return Study(study_instance_uid=uid, first_received_at=NOON, last_received_at=NOON)


def a_job(study_id: int, revision: int) -> Job:
    return Job(
        study_id=study_id,
        revision=revision,
        deadline=NOON,
        hard_deadline=NOON,
        not_before=NOON,
        created_at=NOON,
    )


def a_row_in_every_table(connection: Connection) -> dict[str, dict[str, Any]]:
    """Fill every table with one row of key 7; returns it as the database gives it, by table."""
    tables = MetaData()
    tables.reflect(connection)
    values = {
        Boolean: True,
        DateTime: NOON,
        String: "7",
        Integer: 7,
        Float: 7.0,
        JSON: None,
        LargeBinary: b"7",
    }
    rows = {}
    for table in tables.sorted_tables:
        if table.name != "alembic_version":
            row = {
                column.name: next(values[kind] for kind in values if isinstance(column.type, kind))
                for column in table.columns
            }
            connection.execute(insert(table), row)
            kept = connection.execute(text(f"SELECT * FROM {table.name}")).mappings().one()
            rows[table.name] = dict(kept)
    return rows


def test_the_migrations_make_exactly_the_tables_of_the_models(engine: Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_opening_a_database_again_changes_nothing(engine: Engine, database_url: str) -> None:
    again = open_database(database_url)
    with again.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).all() != []
    again.dispose()


def test_a_database_of_a_later_version_is_refused_with_what_to_do(bare_database_url: str) -> None:
    engine = open_database(bare_database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(ConfigurationError, match=r"another version .* restore the backup"):
        open_database(bare_database_url)


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


def test_what_was_kept_aside_and_delivered_outlives_the_tables_of_corrections(
    bare_database_url: str,
) -> None:
    """A database with data in every table that changes."""
    engine = connect(bare_database_url)
    with engine.begin() as connection:
        command.upgrade(migrations(connection), "0002")
        for statement in (
            "INSERT INTO studies VALUES (7, '1.2', NULL, :noon, :noon, 'drafted')",
            "INSERT INTO series VALUES (2, 7, '1.2.5', 'CT')",
            "INSERT INTO instances (id, study_id, series_id, sop_instance_uid, sop_class_uid, "
            "transfer_syntax_uid, path, size, sha256, processed, received_at) "
            "VALUES (4, 7, 2, '1.2.9', '1.2', '1.2', 'a', 1, 'x', :yes, :noon)",
            "INSERT INTO quarantine (id, sop_instance_uid, sha256, path, received_at) "
            "VALUES (3, '1.2.9', 'y', 'b', :noon)",
            "INSERT INTO quarantine (id, sop_instance_uid, sha256, path, received_at) "
            "VALUES (5, '1.2.8', 'z', 'c', :noon)",
            "INSERT INTO jobs (id, study_id, revision, state, forced, deadline, hard_deadline, "
            "not_before, attempts, created_at) "
            "VALUES (1, 7, 1, 'done', :no, :noon, :noon, :noon, 1, :noon)",
            "INSERT INTO drafts (id, study_id, job_id, revision, state, is_current, "
            "sop_instance_uid, series_instance_uid, path, selected_digest, created_at) "
            "VALUES (6, 7, 1, 1, 'complete', :yes, '1.7', '1.8', 'd', 'e', :noon)",
            "INSERT INTO deliveries (id, draft_id, destination, kind, state, attempts, not_before) "
            "VALUES (8, 6, 'pacs', 'dimse', 'proved', 1, :noon)",
        ):
            values = {"noon": NOON, "yes": True, "no": False}
            names = [name for name in values if f":{name}" in statement]
            connection.execute(text(statement), {name: values[name] for name in names})
        migrate(connection)
    with session_factory(engine).begin() as session:
        aside = session.scalars(select(Quarantine).order_by(Quarantine.id)).all()
        assert [(row.study_id, row.verdict) for row in aside] == [(7, "waiting"), (None, "waiting")]
        (delivery,) = session.scalars(select(Delivery)).all()
        assert (delivery.retracts, delivery.draft.retraction_path) == (False, None)
        values = {"destination": "pacs", "kind": "dimse", "retracts": True, "not_before": NOON}
        session.add(Delivery(draft_id=6, **values))
        session.flush()
        session.add(Delivery(draft_id=6, **values))
        with pytest.raises(IntegrityError):
            session.flush()
        session.rollback()
    engine.dispose()


def test_keys_outgrow_32_bits_in_a_database_with_a_row_in_every_table(
    bare_database_url: str,
) -> None:
    engine = connect(bare_database_url)
    with engine.begin() as connection:
        command.upgrade(migrations(connection), "0006")
        before = a_row_in_every_table(connection)
        migrate(connection)
        for name, row in before.items():
            kept = connection.execute(text(f"SELECT * FROM {name}")).mappings().one()
            assert {column: kept[column] for column in row} == row
            if engine.dialect.name == "postgresql":
                sequence = f"pg_get_serial_sequence('{name}', 'id')"
                connection.execute(text(f"SELECT setval({sequence}, {2**31 - 1})"))
    with session_factory(engine).begin() as session:
        study = a_study("1.9")
        if engine.dialect.name == "sqlite":
            study.id = 2**31
        session.add(study)
        session.flush()
        assert study.id == 2**31
        session.add(a_job(study.id, 1))
    with pytest.raises(IntegrityError), session_factory(engine).begin() as session:
        session.add(a_job(2**40, 1))
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


def test_who_reads_holds_up_nobody_who_writes(sessions: SessionFactory) -> None:
    with sessions() as reads:
        assert reads.scalars(select(Study)).all() == []
        with sessions.begin() as writes:
            writes.add(a_study())
    with sessions() as reads:
        assert reads.scalars(select(Study)).one().study_instance_uid == "1.2.3"


def test_who_writes_waits_for_who_wrote_first(sessions: SessionFactory) -> None:
    with sessions.begin() as first, ThreadPoolExecutor(1) as beside:
        first.add(a_study())
        first.flush()
        second = beside.submit(_count_and_add, sessions)
        while sessions.kw["bind"].pool.checkedout() < 2:
            time.sleep(0.01)
        first.commit()
        assert second.result(60) == 1


def _count_and_add(sessions: SessionFactory) -> int:
    with sessions.begin() as session:
        seen = len(session.scalars(select(Study)).all())
        session.add(a_study("1.2.4"))
    return seen


def test_who_waits_too_long_to_write_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = session_factory(open_database(f"sqlite:///{tmp_path / 'ctscribe.db'}"))
    monkeypatch.setattr("plugin.state.database.BUSY_TIMEOUT_S", 0)
    with sessions.begin() as first:
        first.add(a_study())
        first.flush()
        with pytest.raises(DBAPIError, match="locked"), sessions.begin() as second:
            second.add(a_study("1.2.4"))
    sessions.kw["bind"].dispose()


def test_moments_come_back_in_utc(sessions: SessionFactory) -> None:
    summer = datetime(2026, 7, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    with sessions.begin() as session:
        session.add(Event(time=summer, kind="k", message="m"))
    with sessions.begin() as session:
        (event,) = session.query(Event).all()
        assert event.time == summer
        assert event.time.utcoffset() == timedelta(0)


def test_a_study_has_at_most_one_pending_job(sessions: SessionFactory) -> None:
    with sessions.begin() as session:
        session.add(a_study())
        session.flush()
        session.add(a_job(1, 1))
    with pytest.raises(IntegrityError), sessions.begin() as session:
        session.add(a_job(1, 2))


def test_a_drivers_words_are_told_without_the_values_of_a_row() -> None:
    error = DBAPIError("INSERT", {}, Exception("duplicate key\nDETAIL:  Key (x)=(Zebra) exists"))
    assert reason_of(error) == "duplicate key"
    assert reason_of(DBAPIError("SELECT", {}, ValueError())) == "ValueError"
