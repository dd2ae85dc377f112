"""The backup of docs/operate.md: the database first, then the spool, while the receiver runs."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select

from plugin.reception.receiver import running_receiver
from plugin.reception.sweep import sweep
from plugin.state.completeness import Patience
from plugin.state.database import SessionFactory, open_database, session_factory
from plugin.state.files.spool import Spool
from plugin.state.tables import Instance
from tests.plugin.intake_objects import make_slice, new_uid, store

PATIENCE = Patience(timedelta(hours=1), timedelta(hours=2))


def opened(spool: Path) -> SessionFactory:
    return session_factory(open_database(f"sqlite:///{spool / 'ctscribe.db'}"))


def copy_database(spool: Path, copy: Path) -> None:
    """As `sqlite3 ctscribe.db ".backup COPY"` does."""
    with (
        closing(sqlite3.connect(spool / "ctscribe.db")) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)


def test_what_arrived_between_database_and_spool_is_there_after_a_restore(tmp_path):
    spool, restored, backup = (tmp_path / name for name in ("spool", "restored", "backup.db"))
    study = new_uid()
    with running_receiver(opened_in := opened(spool), Spool(spool), patience=PATIENCE) as port:
        assert store(port, make_slice(study)) == [0x0000]
        copy_database(spool, backup)
        assert store(port, make_slice(study)) == [0x0000]
        shutil.copytree(spool, restored, ignore=shutil.ignore_patterns("incoming", "ctscribe.db*"))
    opened_in.kw["bind"].dispose()
    shutil.copy(backup, restored / "ctscribe.db")

    sessions = opened(restored)
    assert sweep(sessions, Spool(restored), patience=PATIENCE) == 1
    with sessions() as session:
        paths = session.scalars(select(Instance.path)).all()
    sessions.kw["bind"].dispose()
    assert len(paths) == 2
    assert all((restored / path).is_file() for path in paths)
