import threading
from datetime import UTC, datetime

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import DBAPIError

from plugin.state import audit
from plugin.state.audit import (
    NO_HASH,
    Action,
    AuditRow,
    Entry,
    Objects,
    Subject,
    Who,
    chained,
    this_process,
)
from plugin.state.database import open_database, session_factory
from plugin.state.tables import Study

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CT1 = Who(kind="node", name="CT1", address="10.0.0.1")


def an_entry(action=Action.VIEWED, **of_study):
    study = Subject(**{"study_instance_uid": "1.2", **of_study})
    return Entry(action=action, who=CT1, study=study)


def test_an_entry_is_read_as_it_was_recorded(sessions):
    objects = (Objects(sop_class_uid="1.2.3", number=2, uids=("1", "2")),)
    entry = an_entry(patient_id="P1", accession_number="A1", objects=objects)
    with sessions.begin() as session:
        audit.record(session, entry, now=NOON)
    (row,) = rows_of(sessions)
    assert row.entry == entry
    assert (row.position, row.time, row.study_instance_uid) == (1, NOON, "1.2")


def test_entries_are_chained_in_the_order_in_which_they_were_recorded(sessions):
    for actions in ((Action.STARTED, Action.CONFIGURED), (Action.STOPPED,)):
        with sessions.begin() as session:
            for action in actions:
                audit.record(session, Entry(action=action, who=this_process()), now=NOON)
    rows, before = rows_of(sessions), NO_HASH
    assert [row.position for row in rows] == [1, 2, 3]
    assert [row.entry.action for row in rows] == [Action.STARTED, Action.CONFIGURED, Action.STOPPED]
    for row in rows:
        assert row.hash == chained(before, row.record)
        before = row.hash


def test_what_is_rolled_back_leaves_no_entry_and_no_gap(sessions):
    with sessions() as session:
        session.add(Study(study_instance_uid="1", first_received_at=NOON, last_received_at=NOON))
        audit.record(session, an_entry(), now=NOON)
        session.rollback()
        audit.record(session, an_entry(Action.CHANGED), now=NOON)
        session.commit()
    (row,) = rows_of(sessions)
    assert (row.position, row.entry.action) == (1, Action.CHANGED)


def test_the_patient_of_a_study_is_known_from_its_latest_entry(sessions):
    for entry in (
        an_entry(Action.RECEIVING, patient_id="P1", accession_number="A1"),
        an_entry(Action.RECEIVING, patient_id="P2", study_instance_uid="1.3"),
        an_entry(Action.SENT),
    ):
        with sessions.begin() as session:
            audit.record(session, entry, now=NOON)
    study = rows_of(sessions)[-1].entry.study
    assert (study.patient_id, study.accession_number) == ("P1", "A1")


@pytest.mark.parametrize(
    "change",
    [
        update(AuditRow).values(record="{}").execution_options(synchronize_session=False),
        delete(AuditRow).execution_options(synchronize_session=False),
        text("UPDATE audit SET hash = 'f'"),
    ],
)
def test_the_database_refuses_to_change_or_remove_an_entry(sessions, change):
    with sessions.begin() as session:
        audit.record(session, an_entry(), now=NOON)
    with pytest.raises(DBAPIError, match="append-only"), sessions.begin() as session:
        session.execute(change)
    assert len(rows_of(sessions)) == 1


def test_sqlite_refuses_to_replace_an_entry(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path}/ctscribe.db")
    sessions = session_factory(engine)
    with sessions.begin() as session:
        audit.record(session, an_entry(), now=NOON)
    replace = text(
        "INSERT OR REPLACE INTO audit SELECT position, time, NULL, '{}', hash FROM audit"
    )
    with pytest.raises(DBAPIError, match="append-only"), sessions.begin() as session:
        session.execute(replace)
    engine.dispose()


def test_writers_at_the_same_time_make_one_chain(sessions):
    def write():
        for _ in range(10):
            with sessions.begin() as session:
                audit.record(session, an_entry(), now=NOON)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows, before = rows_of(sessions), NO_HASH
    assert [row.position for row in rows] == list(range(1, 41))
    for row in rows:
        assert row.hash == chained(before, row.record)
        before = row.hash


def test_text_from_outside_is_kept_harmless(sessions):
    with sessions.begin() as session:
        audit.record(session, an_entry(patient_id="P\0\x1b[31m\n<x>"), now=NOON)
    (row,) = rows_of(sessions)
    assert row.entry.study.patient_id == r"P\x00\x1b[31m <x>"


def rows_of(sessions):
    with sessions() as session:
        return list(session.scalars(select(AuditRow).order_by(AuditRow.position)))
