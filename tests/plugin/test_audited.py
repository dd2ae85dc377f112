"""The audit trail of one study, from the sender to the archive and back."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import select

from dicom_io.errors import AssociationRejected
from engine.fake import FakeEngine
from plugin.delivery.delivery import deliver_to
from plugin.delivery.destinations import Destination
from plugin.delivery.outbox import Outbox
from plugin.drafting.worker import Worker
from plugin.drafting.writing.pipeline import Pipeline
from plugin.reception.receiver import running_receiver
from plugin.state.audit import Action, AuditRow, Outcome
from plugin.state.completeness import Patience
from plugin.state.tables import Hold
from plugin.upkeep.audit.audited import audited, note_settings
from plugin.upkeep.audit.trail import verify
from tests.ct import ct_stack
from tests.plugin.delivery.drafts import Service, Shelf
from tests.plugin.intake_objects import store
from tests.waiting import eventually

SLICES = 8
AT_ONCE = Patience(timedelta(0), timedelta(hours=1))


def a_study():
    hu = np.zeros((SLICES, 16, 16), np.int16)
    return ct_stack(hu, np.diag([3.0, 1, 1, 1]), PatientID="P1")


@pytest.fixture
def entries(sessions):
    def entries():
        with sessions() as session:
            rows = session.scalars(select(AuditRow).order_by(AuditRow.position))
            return [row.entry for row in rows]

    return entries


@pytest.fixture
def service(sessions, tmp_path):
    return Service(sessions, tmp_path)


@pytest.fixture
def port(sessions, spool):
    with running_receiver(sessions, spool, patience=AT_ONCE) as port:
        yield port


@pytest.fixture
def draft(sessions, spool, rows):
    """Draft and deliver all that is due."""
    making = Pipeline(FakeEngine()).make_report
    worker = Worker(sessions, spool, making, {"shelf": "test"}, rejection_notes=["shelf"])

    def draft():
        eventually(lambda: rows(Hold) == [])
        while worker.work_once():
            pass
        deliver_to(Outbox(sessions, spool.root), Destination("shelf", Shelf()))

    return draft


def test_the_trail_tells_the_whole_way_of_a_study(port, draft, entries, sessions):
    stack = a_study()
    store(port, *stack)
    draft()
    assert [one.action for one in entries()] == [
        Action.RECEIVING,
        Action.RECEIVED,
        Action.DRAFTED,
        Action.SENDING,
        Action.SENT,
    ]
    receiving, received, drafted, sending, sent = entries()
    assert {one.study.patient_id for one in entries()} == {"P1"}
    assert {one.study.study_instance_uid for one in entries()} == {stack[0].StudyInstanceUID}
    assert (receiving.who.name, receiving.who.address) == ("SENDER", "127.0.0.1")
    assert [(one.sop_class_uid, one.number) for one in received.study.objects] == [
        ("1.2.840.10008.5.1.4.1.1.2", SLICES)
    ]
    assert drafted.study.objects == sending.study.objects == sent.study.objects
    assert sent.to.name == "shelf"
    with sessions() as session:
        assert verify(session).problem is None


def test_the_trail_tells_of_a_retraction_under_whose_name_what_stood(port, draft, entries):
    stack = a_study()
    store(port, *stack)
    draft()
    for one in stack:
        one.PatientID = "CORRECTED"
    store(port, *stack)
    draft()
    told = [(one.action, one.study.patient_id) for one in entries()]
    assert (Action.DRAFTED, "P1") in told
    assert (Action.DRAFTED, "CORRECTED") in told
    (retracted,) = [one for one in entries() if one.action is Action.RETRACTED]
    assert "another PatientID" in retracted.detail


def test_the_trail_tells_who_asks_for_a_new_draft(port, entries):
    store(port, *a_study(), called="CTSCRIBE_AGAIN")
    asked = eventually(lambda: [one for one in entries() if one.action is Action.ASKED])
    assert asked[0].who.name == "SENDER"


def test_the_trail_tells_of_a_draft_that_an_archive_refused_for_good(service, entries):
    service.draft("shelf")
    service.deliver(Shelf(send_error=AssociationRejected("no such class")).named())
    failed = entries()[-1]
    assert (failed.action, failed.outcome) == (Action.SENT, Outcome.SERIOUS_FAILURE)
    assert failed.detail == "no such class"


def test_the_trail_tells_when_a_process_starts_and_stops(sessions, entries):
    with pytest.raises(RuntimeError), audited(sessions, "work"):
        raise RuntimeError
    assert [one.action for one in entries()] == [Action.STARTED, Action.STOPPED]
    assert entries()[0].who.name.startswith("ctscribe work (process ")


def test_the_trail_tells_which_settings_were_changed(sessions, entries):
    note_settings(sessions, {"receiver": {"port": 1}})
    note_settings(sessions, {"receiver": {"port": 1}})
    note_settings(sessions, {"receiver": {"port": 2, "host": "h"}, "destinations": [1]})
    first, second = entries()
    assert (first.action, first.detail) == (Action.CONFIGURED, "settings at first")
    assert second.detail == "settings: destinations, receiver.host, receiver.port"
