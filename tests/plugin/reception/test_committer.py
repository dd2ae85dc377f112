"""What the committer does while the database takes nothing."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta

from sqlalchemy import text

from dicom_io.errors import StoreFull
from plugin.reception.committer import Committer
from plugin.state.completeness import Patience
from plugin.state.kinds import Kind
from plugin.state.tables import Absent, Event
from tests.waiting import eventually

PATIENCE = Patience(timedelta(hours=1), timedelta(hours=2))


@contextmanager
def a_committer(sessions):
    committer = Committer(
        sessions, patience=PATIENCE, open_associations=lambda: (), heartbeat_s=0.05
    )
    committer.start()
    yield committer
    committer.stop()


@contextmanager
def away(sessions, table):
    """No statement finds the table for a while."""
    with sessions.begin() as session:
        session.execute(text(f"ALTER TABLE {table} RENAME TO hidden"))
    yield
    with sessions.begin() as session:
        session.execute(text(f"ALTER TABLE hidden RENAME TO {table}"))


def test_an_alert_that_the_database_did_not_take_is_written_once_it_answers(sessions, rows):
    with a_committer(sessions) as committer:
        with away(sessions, "events"):
            error = StoreFull("instances cannot be recorded: it is away")
            assert committer.alert(Kind.NOT_RECORDED, error)
            assert not committer.alert(Kind.NOT_RECORDED, error)  # within a minute
        eventually(lambda: len(rows(Event)) == 1)
    (event,) = rows(Event)
    assert (event.kind, event.message) == (
        "not-recorded",
        "instances cannot be recorded: it is away",
    )


def test_the_alerts_of_two_kinds_do_not_hide_each_other(sessions, rows):
    with a_committer(sessions) as committer:
        with away(sessions, "events"):
            for kind in (Kind.NOT_RECORDED, Kind.REFUSED):
                assert committer.alert(kind, StoreFull(str(kind)))
        eventually(lambda: len(rows(Event)) == 2)
    assert {event.kind for event in rows(Event)} == {Kind.NOT_RECORDED, Kind.REFUSED}


def test_who_is_absent_is_noted_once_the_database_answers(sessions, rows):
    with a_committer(sessions) as committer:
        with away(sessions, "absent"):
            for number in range(3):
                committer.note_absent("1.2", f"1.2.{number}")
        eventually(lambda: len(rows(Absent)) == 3)
    assert {row.study_instance_uid for row in rows(Absent)} == {"1.2"}
