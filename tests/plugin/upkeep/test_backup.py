"""Backup and restore: what was acknowledged before a backup began is there after the restore."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select, update

from dicom_io.errors import ConfigurationError, PluginError
from plugin.cli import main
from plugin.drafting.worker import Worker
from plugin.reception import intake
from plugin.reception.receiver import running_receiver
from plugin.state.audit import AuditCut
from plugin.state.completeness import Patience
from plugin.state.database import SessionFactory, open_database, session_factory
from plugin.state.files.spool import Spool
from plugin.state.tables import Delivery, Draft, Event, Instance, Job, Removal, Study
from plugin.upkeep import backup
from plugin.upkeep.backup import back_up
from plugin.upkeep.restore import restore
from tests.plugin.arrivals import PATIENCE, arrival
from tests.plugin.intake_objects import make_slice, new_uid, store
from tests.plugin.model import Model
from tests.postgres import Cluster
from tests.waiting import eventually

LONG = Patience(timedelta(hours=1), timedelta(hours=2))


@pytest.fixture
def empty_url(database_url: str, tmp_path: Path, request: Any) -> Iterator[str]:
    """URL of a database of the same kind that holds nothing."""
    if database_url.startswith("sqlite"):
        yield f"sqlite:///{tmp_path / 'restored' / 'ctscribe.db'}"
        return
    cluster = request.getfixturevalue("postgres")
    with cluster.database() as name:
        yield cluster.url(name)


@pytest.fixture
def restored(tmp_path: Path) -> Path:
    return tmp_path / "restored"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "backup"


@pytest.fixture
def drafted(sessions: SessionFactory, spool: Spool) -> None:
    """A study with a draft that was sent."""
    path = spool.root / "instances" / "1.dcm"
    path.write_bytes(b"a slice")
    then = datetime.now(UTC) - timedelta(hours=1)
    with sessions.begin() as session:
        intake.record(session, [arrival(1)], patience=PATIENCE, now=then)
    assert Worker(sessions, spool, Model().report, {"pacs": "dimse"}).work_once()


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    (tmp_path / "service.db").write_bytes(sqlite_template.read_bytes())
    return f"sqlite:///{tmp_path / 'service.db'}"


def opened(url: str) -> SessionFactory:
    return session_factory(open_database(url))


def values(sessions: SessionFactory, table: Any) -> list[Any]:
    with sessions() as session:
        return [tuple(row) for row in session.execute(select(table.__table__).order_by(table.id))]


def test_all_that_was_acknowledged_before_is_in_a_backup_of_a_running_service(
    sessions, spool, database_url, empty_url, target, restored
):
    acknowledged: list[tuple[str, bytes]] = []
    stop = threading.Event()

    def send(port: int) -> None:
        study = new_uid()
        while not stop.is_set():
            one = make_slice(study)
            if store(port, one) == [0x0000]:
                acknowledged.append((one.SOPInstanceUID, one.PixelData))

    with running_receiver(sessions, spool, patience=LONG) as port:
        senders = [threading.Thread(target=send, args=(port,)) for _ in range(2)]
        for sender in senders:
            sender.start()
        try:
            assert eventually(lambda: len(acknowledged) >= 6)
            before = list(acknowledged)
            back_up(database_url, spool.root, target)
            assert eventually(lambda: len(acknowledged) >= len(before) + 2)
        finally:
            stop.set()
            for sender in senders:
                sender.join()
    restore(target, empty_url, restored)
    again = opened(empty_url)
    with again() as session:
        paths = dict(session.execute(select(Instance.sop_instance_uid, Instance.path)).all())
    again.kw["bind"].dispose()
    assert {uid for uid, _ in before} <= paths.keys()
    for uid, pixels in before:
        assert pixels in (restored / paths[uid]).read_bytes()
    assert all((restored / path).is_file() for path in paths.values())


def test_rows_come_back_as_they_were_and_new_ones_follow(
    sessions, spool, drafted, rows, database_url, empty_url, target, restored
):
    back_up(database_url, spool.root, target)
    restore(target, empty_url, restored)
    again = opened(empty_url)
    for table in (Study, Instance, Job, Draft, Delivery, Event):
        assert values(again, table) == values(sessions, table) != []
    (draft,) = rows(Draft)
    assert (restored / draft.path).read_bytes() == (spool.root / draft.path).read_bytes()
    with again.begin() as session:
        intake.record(session, [arrival(2, study="1.9")], patience=PATIENCE, now=datetime.now(UTC))
    assert len(values(again, Study)) == 2
    again.kw["bind"].dispose()


def test_nobody_else_reads_a_backup(sessions, spool, drafted, database_url, target):
    old = os.umask(0)
    try:
        back_up(database_url, spool.root, target)
    finally:
        os.umask(old)
    assert all(path.stat().st_mode & 0o077 == 0 for path in [target, *target.rglob("*")])


def test_what_an_earlier_backup_has_is_linked(sqlite_url, spool, tmp_path):
    sessions = opened(sqlite_url)
    (spool.root / "instances" / "1.dcm").write_bytes(b"a slice")
    with sessions.begin() as session:
        intake.record(session, [arrival(1)], patience=PATIENCE, now=datetime.now(UTC))
    sessions.kw["bind"].dispose()
    first, second = tmp_path / "monday", tmp_path / "tuesday"
    back_up(sqlite_url, spool.root, first)
    back_up(sqlite_url, spool.root, second, base=first)
    assert (first / "spool/instances/1.dcm").samefile(second / "spool/instances/1.dcm")


def test_a_file_that_is_lost_is_told_and_makes_no_backup(sqlite_url, spool, target):
    sessions = opened(sqlite_url)
    with sessions.begin() as session:
        intake.record(session, [arrival(1)], patience=PATIENCE, now=datetime.now(UTC))
    sessions.kw["bind"].dispose()
    with pytest.raises(PluginError, match=r"1 file .* such as instances/1\.dcm"):
        back_up(sqlite_url, spool.root, target)
    assert not (target / "backup.json").exists()


def test_a_file_that_was_deleted_in_order_meanwhile_is_not_missed(
    sqlite_url, spool, target, monkeypatch
):
    sessions = opened(sqlite_url)
    with sessions.begin() as session:
        intake.record(session, [arrival(1)], patience=PATIENCE, now=datetime.now(UTC))
    copy_file = backup._copy_file

    def deleted_first(*paths: Any) -> int:
        with sessions.begin() as session:
            session.execute(update(Instance).values(path="instances/another.dcm"))
        return copy_file(*paths)

    monkeypatch.setattr(backup, "_copy_file", deleted_first)
    assert back_up(sqlite_url, spool.root, target).files == 0
    sessions.kw["bind"].dispose()


@pytest.fixture
def command(sqlite_url: str, spool: Spool, target: Path):
    """`ctscribe backup` and `restore` of two services, "old" and "new", beside each other."""

    def command(name: str, service: str, *arguments: str) -> Result:
        config = target.with_name(f"{service}.toml")
        spools = {"old": spool.root, "new": target.with_name("restored")}
        url = sqlite_url if service == "old" else f"sqlite:///{target.with_name('new.db')}"
        config.write_text(f'storage = {{ spool = "{spools[service]}", database = "{url}" }}')
        return CliRunner().invoke(main, [name, str(target), "-c", str(config), *arguments])

    return command


def test_the_commands_say_what_they_did(command, restored, target):
    saved = command("backup", "old")
    assert (saved.exit_code, saved.stdout) == (
        0,
        f"{target}: the database, and 0 files of 0.0 MB\n",
    )
    put_back = command("restore", "new")
    assert put_back.exit_code == 0
    assert put_back.stdout.startswith(f"{restored}: 0 files, and the database as it was at ")


def test_what_was_cut_off_the_audit_trail_comes_back(sqlite_url, spool, target, restored):
    """In a process of its own, which knows only the tables that it asks for itself."""
    file = "audit/entries-000000001-000000001.jsonl.gz"
    sessions = opened(sqlite_url)
    with sessions.begin() as session:
        for where in (file, "audit/moved-away.jsonl.gz"):
            cut = {"position": len(where), "hash": "-", "file": where, "cut_at": datetime.now(UTC)}
            session.add(AuditCut(**cut))
    (spool.root / "audit").mkdir()
    (spool.root / file).write_bytes(b"entries")
    config = target.with_name("cut.toml")
    config.write_text(f'storage = {{ spool = "{spool.root}", database = "{sqlite_url}" }}')
    words = ["backup", str(target), "-c", str(config)]
    subprocess.run([sys.executable, "-m", "plugin", *words], check=True)
    new = f"sqlite:///{target.with_name('new.db')}"
    restore(target, new, restored)
    assert (restored / file).read_bytes() == b"entries"
    with opened(new)() as session:
        assert len(session.scalars(select(AuditCut)).all()) == 2


def refused(result: Result) -> str:
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    return result.stderr


def test_a_backup_does_not_go_into_the_spool(sqlite_url, spool):
    with pytest.raises(ConfigurationError, match="is in the spool"):
        back_up(sqlite_url, spool.root, spool.root / "inner")
    assert not (spool.root / "inner").exists()


def test_a_filled_place_is_refused(command, restored, target):
    assert command("backup", "old").exit_code == 0
    assert "is not empty" in refused(command("backup", "old"))
    restored.mkdir()
    (restored / "something").touch()
    assert "the spool" in refused(command("restore", "new"))
    (restored / "something").unlink()
    target.with_name("new.db").touch()
    assert "there is a database at" in refused(command("restore", "new"))


@pytest.fixture
def postgres_url(postgres: Cluster, postgres_database: str) -> str:
    postgres.empty(postgres_database)
    return postgres.url(postgres_database)


def test_a_database_with_tables_is_refused(postgres_url, spool, target):
    back_up(postgres_url, spool.root, target)
    with pytest.raises(ConfigurationError, match="has tables: make an empty one"):
        restore(target, postgres_url, spool.root.with_name("another"))


def test_what_is_no_backup_is_refused(command, target):
    target.mkdir()
    assert "is no complete backup" in refused(command("restore", "new"))


def changed(target: Path, **changes: Any) -> None:
    manifest = json.loads((target / "backup.json").read_text())
    (target / "backup.json").write_text(json.dumps({**manifest, **changes}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": 2}, "another version"),
        ({"dialect": "postgresql"}, "the backup is of postgresql, the settings of sqlite"),
    ],
)
def test_a_backup_of_another_kind_is_refused(command, target, changes, said):
    assert command("backup", "old").exit_code == 0
    changed(target, **changes)
    assert said in refused(command("restore", "new"))


def test_a_damaged_backup_is_refused_before_anything_is_written(command, target, restored):
    assert command("backup", "old").exit_code == 0
    (target / "files.txt").write_text("7 instances/1.dcm\n")
    assert "damaged: instances/1.dcm" in refused(command("restore", "new"))
    assert not restored.exists()
    assert not target.with_name("new.db").exists()


def test_a_backup_of_a_later_version_is_refused(postgres, postgres_url, spool, target):
    back_up(postgres_url, spool.root, target)
    changed(target, revision="9999")
    with (
        postgres.database() as name,
        pytest.raises(ConfigurationError, match="made by a later version"),
    ):
        restore(target, postgres.url(name), spool.root.with_name("another"))


def test_a_service_that_never_ran_is_told(command, sqlite_url):
    Path(sqlite_url.removeprefix("sqlite:///")).unlink()
    assert "there is no database at" in refused(command("backup", "old"))


def test_what_was_deleted_by_age_is_neither_missed_nor_put_back(
    sessions, spool, drafted, database_url, empty_url, target, restored
):
    with sessions.begin() as session:
        session.execute(update(Draft).values(path=""))
        session.add(Removal(study_id=session.scalars(select(Study.id)).one(), path="instances"))
    assert back_up(database_url, spool.root, target).files == 1
    restore(target, empty_url, restored)
    assert not (restored / "drafts").exists()
