"""Old entries of the audit trail go to files, and what is left is proved by their last hash."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from plugin.state import audit
from plugin.state.audit import Action, AuditCut, AuditForwarding, AuditRow, Entry, Subject, Who
from plugin.state.tables import Study
from plugin.upkeep.audit.trail import verify
from plugin.upkeep.keeping import audit_cut
from plugin.upkeep.keeping.audit_cut import FOLDER, due_part
from plugin.upkeep.keeping.limits import Limit, Limits
from plugin.upkeep.keeping.retention import plan, prune

BEGIN = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOW = BEGIN + timedelta(days=399)
YEAR = Limits(audit=Limit(timedelta(days=365)))
WHO = Who(kind="person", name="ann")


@pytest.fixture
def trail(sessions):
    """An entry on each of ten days, and ten more a year later."""
    for day in (*range(10), *range(390, 400)):
        with sessions.begin() as session:
            study = Subject(study_instance_uid=f"1.{day}", patient_id=f"P{day}")
            entry = Entry(action=Action.VIEWED, who=WHO, study=study)
            audit.record(session, entry, now=BEGIN + timedelta(days=day))


@pytest.fixture
def look(sessions, spool):
    def look(head=None):
        with sessions() as session:
            return verify(session, head, spool.root)

    return look


def positions(sessions):
    with sessions() as session:
        return list(session.scalars(select(AuditRow.position).order_by(AuditRow.position)))


def test_old_entries_go_to_a_file_and_the_trail_is_whole(trail, look, sessions, spool):
    head = look().head
    (gone,) = prune(sessions, spool, YEAR, NOW)
    assert (gone.rule, gone.why) == ("audit", "audit_days = 365")
    assert positions(sessions) == list(range(11, 22))
    found = look(head)
    assert (found.problem, found.entries, found.cut, found.read) == (None, 21, 10, 10)
    (file,) = (spool.root / FOLDER).iterdir()
    assert file.name == "entries-000000001-000000010.jsonl.gz"
    assert file.stat().st_mode & 0o077 == 0
    with gzip.open(file, "rt") as lines:
        assert json.loads(next(lines))["entry"]["study"]["patient_id"] == "P0"


def test_a_cut_is_an_entry_and_is_not_repeated_at_once(trail, sessions, spool):
    prune(sessions, spool, YEAR, NOW)
    with sessions() as session:
        newest = session.scalars(select(AuditRow).order_by(AuditRow.position.desc())).first()
    assert newest.entry.action is Action.TRAIL_CUT
    assert "entries 1 to 10 are in audit/entries-" in newest.entry.detail
    assert plan(sessions, spool, YEAR, NOW + timedelta(days=3)) == []


def test_a_second_cut_goes_on_where_the_first_ended(trail, look, sessions, spool):
    prune(sessions, spool, YEAR, NOW)
    head = look().head
    prune(sessions, spool, YEAR, NOW + timedelta(days=400))
    found = look(head)
    assert (found.problem, found.cut, found.read) == (None, 20, 20)
    assert positions(sessions) == [21, 22]  # the newest of before, and the new cut


def test_a_file_that_was_moved_away_is_missed_by_nobody(trail, look, sessions, spool):
    early = look().head
    prune(sessions, spool, YEAR, NOW)
    for file in (spool.root / FOLDER).iterdir():
        file.unlink()
    found = look(early)
    assert (found.problem, found.cut, found.read) == (None, 10, 0)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"P3"', '"P7"', "entry 4 was changed, or one before it"),
        (None, None, "does not end with entry 10"),
    ],
)
def test_a_file_that_was_changed_is_named(trail, look, sessions, spool, old, new, problem):
    prune(sessions, spool, YEAR, NOW)
    (file,) = (spool.root / FOLDER).iterdir()
    lines = gzip.decompress(file.read_bytes()).decode().splitlines(keepends=True)
    lines = [line.replace(old, new) for line in lines] if old else lines[:9]
    file.write_bytes(gzip.compress("".join(lines).encode()))
    assert problem in look().problem


def test_a_file_that_is_no_file_of_ours_is_named(trail, look, sessions, spool):
    prune(sessions, spool, YEAR, NOW)
    (file,) = (spool.root / FOLDER).iterdir()
    file.write_bytes(b"x")
    assert "cannot be read" in look().problem


def test_a_cut_that_no_entry_tells_of_is_found(trail, look, sessions):
    with sessions.begin() as session:
        at = session.get_one(AuditRow, 5)
        row = {"position": 5, "hash": at.hash, "file": "audit/none", "cut_at": NOW}
        session.execute(insert(AuditCut), row)
        session.execute(delete(AuditRow).where(AuditRow.position <= 5))
    assert look().problem == "no entry tells that the first 5 were cut"


@pytest.mark.parametrize(
    "change",
    [
        delete(AuditRow).where(AuditRow.position == 15),
        update(AuditRow).values(hash="f"),
        delete(AuditCut),
        update(AuditCut).values(position=20),
    ],
)
def test_the_database_still_refuses_everything_else(trail, sessions, spool, change):
    prune(sessions, spool, YEAR, NOW)
    with pytest.raises(DBAPIError, match="append-only"), sessions.begin() as session:
        session.execute(change)


def test_what_a_repository_lacks_stays(trail, sessions, spool):
    limits = Limits(audit=YEAR.audit, repositories=("atna",))
    assert prune(sessions, spool, limits, NOW) == []
    with sessions.begin() as session:
        session.add(AuditForwarding(repository="atna", position=6, hash="-", not_before=NOW))
    prune(sessions, spool, limits, NOW)
    assert positions(sessions)[0] == 7


def test_a_study_that_has_rows_keeps_its_latest_entry_which_knows_the_patient(
    trail, sessions, spool
):
    with sessions.begin() as session:
        times = {"first_received_at": NOW, "last_received_at": NOW}
        session.add(Study(study_instance_uid="1.4", **times))
    prune(sessions, spool, YEAR, NOW)
    assert positions(sessions)[0] == 5


def test_the_newest_entry_stays_whatever_its_age(trail, look, sessions, spool):
    prune(sessions, spool, YEAR, NOW + timedelta(days=4000))
    assert positions(sessions) == [20, 21]
    assert look().problem is None


def test_one_cut_takes_so_much_and_the_next_goes_on(trail, look, sessions, spool, monkeypatch):
    monkeypatch.setattr(audit_cut, "MOST", 4)
    for _ in range(3):
        prune(sessions, spool, YEAR, NOW)
    # And two cuts: what is left is old enough, but for a cut of its own not yet
    assert positions(sessions) == list(range(9, 23))
    assert (look().problem, look().read) == (None, 8)


def test_two_that_cut_at_once_cut_once(trail, sessions, spool):
    with sessions() as session:
        part = due_part(session, YEAR, NOW)
    assert audit_cut.cut(sessions, spool.root, part, "audit_days", NOW)
    assert not audit_cut.cut(sessions, spool.root, part, "audit_days", NOW)
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(AuditCut)) == 1


def test_without_an_age_nothing_goes(trail, sessions, spool):
    assert prune(sessions, spool, Limits(), NOW + timedelta(days=9999)) == []


def test_a_kill_before_the_commit_loses_nothing(trail, look, sessions, spool, monkeypatch):
    with sessions() as session:
        part = due_part(session, YEAR, NOW)
    monkeypatch.setattr(audit, "record", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        audit_cut.cut(sessions, spool.root, part, "audit_days", NOW)
    monkeypatch.undo()
    assert positions(sessions) == list(range(1, 21))
    assert look().problem is None
    prune(sessions, spool, YEAR, NOW)
    assert look().cut == 10


def test_a_truncated_table_is_refused_on_postgresql(trail, sessions):
    if sessions.kw["bind"].dialect.name == "sqlite":
        return  # it has no such statement
    with pytest.raises(DBAPIError, match="append-only"), sessions.begin() as session:
        session.execute(text("TRUNCATE audit"))
