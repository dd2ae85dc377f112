from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from plugin.state import audit
from plugin.state.audit import Action, AuditForwarding, Entry, Subject, this_process
from plugin.upkeep.audit.trail import rows, verify

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def trail(sessions):
    """Four entries, an hour apart; and a way around the triggers, as a database's owner has one."""
    for hour in range(4):
        with sessions.begin() as session:
            study = Subject(study_instance_uid=f"1.{hour}")
            entry = Entry(action=Action.VIEWED, who=this_process(), study=study)
            audit.record(session, entry, now=NOON + timedelta(hours=hour))

    def tamper(statement):
        with sessions.begin() as session:
            if session.get_bind().dialect.name == "sqlite":
                session.execute(text("DROP TRIGGER audit_refuses_update"))
                session.execute(text("DROP TRIGGER audit_refuses_delete"))
            else:
                session.execute(text("SET LOCAL session_replication_role = replica"))
            session.execute(text(statement))

    return tamper


def look(sessions, head=None):
    with sessions() as session:
        return verify(session, head)


def test_a_trail_that_nobody_touched_is_unbroken(trail, sessions):
    found = look(sessions)
    assert (found.entries, found.problem) == (4, None)
    assert look(sessions, found.head).problem is None


def test_an_empty_trail_is_unbroken(sessions):
    assert look(sessions).problem is None


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("DELETE FROM audit WHERE position = 1", "entry 1 is missing"),
        ("DELETE FROM audit WHERE position = 3", "entry 3 is missing"),
        ("UPDATE audit SET record = replace(record, '1.1', '9.9') WHERE position = 2", "entry 2"),
        ("UPDATE audit SET hash = 'f' WHERE position = 3", "entry 3 was changed"),
        ("UPDATE audit SET study_instance_uid = '1' WHERE position = 3", "entry 3 was changed"),
    ],
)
def test_an_entry_that_is_missing_or_changed_is_named(trail, sessions, statement, problem):
    trail(statement)
    assert problem in look(sessions).problem


def test_an_end_that_is_missing_is_told_by_what_a_repository_has(trail, sessions):
    with sessions.begin() as session:
        newest = list(rows(session))[-1]
        at = AuditForwarding(repository="atna", position=4, hash=newest.hash, not_before=NOON)
        session.add(at)
    assert look(sessions).problem is None
    trail("DELETE FROM audit WHERE position > 2")
    assert look(sessions).problem == "atna has 4 entries: the newest are missing here"


def test_an_end_that_is_missing_is_told_by_a_hash_that_was_written_down(trail, sessions):
    head = look(sessions).head
    trail("DELETE FROM audit WHERE position = 4")
    assert look(sessions).problem is None
    assert "not in the trail" in look(sessions, head).problem


def test_a_part_of_the_trail_is_read_by_its_time(trail, sessions):
    with sessions() as session:
        part = rows(session, NOON + timedelta(hours=1), NOON + timedelta(hours=3))
        assert [row.study_instance_uid for row in part] == ["1.1", "1.2"]
