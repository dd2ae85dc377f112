"""What the committer does while the database takes nothing."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import text

from dicom_io.errors import StoreFull
from plugin.reception.committer import Committer
from plugin.state.completeness import Patience
from plugin.state.kinds import Kind
from plugin.state.tables import Event
from tests.waiting import eventually

PATIENCE = Patience(timedelta(hours=1), timedelta(hours=2))


def test_an_alert_that_the_database_did_not_take_is_written_once_it_answers(sessions, rows):
    with sessions.begin() as session:
        session.execute(text("ALTER TABLE events RENAME TO events_away"))
    committer = Committer(
        sessions, patience=PATIENCE, open_associations=lambda: (), heartbeat_s=0.05
    )
    committer.start()
    committer.alert(Kind.NOT_RECORDED, StoreFull("instances cannot be recorded: it is away"))
    with sessions.begin() as session:
        session.execute(text("ALTER TABLE events_away RENAME TO events"))
    eventually(lambda: len(rows(Event)) == 1)
    committer.stop()
    (event,) = rows(Event)
    assert (event.kind, event.message) == (
        "not-recorded",
        "instances cannot be recorded: it is away",
    )
