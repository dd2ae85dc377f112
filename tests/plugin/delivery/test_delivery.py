"""Real databases, real destinations; only the clock is the test's."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from sqlalchemy import update

from dicom_io.archives.dicomweb import Dicomweb
from dicom_io.archives.dimse import Dimse
from dicom_io.archives.orthanc import Orthanc
from dicom_io.archives.proving.proof import Found, InstanceReference
from dicom_io.errors import AssociationRejected, PeerUnreachable, SopClassRefused
from plugin.commands.demonstration.archive import running_archive
from plugin.delivery.delivery import delivering
from plugin.delivery.destinations import CLAIM_S, Destination
from plugin.delivery.outbox import (
    FIRST_PAUSE_S,
    JITTER,
    LONGEST_PAUSE_S,
    LOOKS_BEFORE_SENDING_AGAIN,
    Outbox,
)
from plugin.delivery.redelivery import Selection, redeliver
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.tables import Delivery, DeliveryState, Level
from tests.objects import PATIENT_ID, write_slice
from tests.orthanc import RunningOrthanc
from tests.plugin.delivery.drafts import CountedOutbox, Service, Shelf
from tests.ports import free_port
from tests.waiting import eventually

# pynetdicom leaves the socket of a refused connection to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture
def service(sessions: SessionFactory, spool: Spool) -> Service:
    return Service(sessions, spool.root)


def every_kind(orthanc: RunningOrthanc) -> tuple[Destination, ...]:
    return (
        Destination("dimse", Dimse("127.0.0.1", orthanc.dicom_port, "ORTHANC")),
        Destination("dicomweb", Dicomweb(f"{orthanc.url}/dicom-web")),
        Destination("orthanc", Orthanc(orthanc.url)),
    )


def test_a_draft_is_delivered_to_every_kind_of_destination_and_proved(
    service: Service, orthanc: RunningOrthanc
) -> None:
    service.draft("dimse", "dicomweb", "orthanc")
    assert service.deliver(*every_kind(orthanc)) == 3
    assert service.states() == [DeliveryState.PROVED] * 3
    assert all(delivery.proved_at == service.clock() for delivery in service.deliveries())
    told = [event.message for event in service.events() if event.kind == "delivered"]
    assert sorted(told) == [
        f"draft 1: delivered to {name} and proved" for name in ("dicomweb", "dimse", "orthanc")
    ]


def test_what_stands_beside_a_draft_is_delivered_and_proved_with_it(
    service: Service, orthanc: RunningOrthanc
) -> None:
    study = service.draft("dimse", "orthanc", "dicomweb")
    beside = service.put_beside(study)
    takes = [replace(one, plain=one.archive) for one in every_kind(orthanc)]
    for one in takes:
        service.deliver(one)
        found = one.archive.find(InstanceReference.of(beside))
        assert found.instances == 1
    assert service.states() == [DeliveryState.PROVED] * 3


def test_a_draft_is_not_proved_before_what_stands_beside_it(service: Service) -> None:
    class Hiding(Shelf):
        def find(self, reference: InstanceReference) -> Found:
            found = super().find(reference)
            hidden = reference.sop_instance_uid == beside.SOPInstanceUID
            return replace(found, instances=0) if hidden else found

    shelf = Hiding()
    beside = service.put_beside(service.draft("shelf"))
    service.deliver(replace(shelf.named(), plain=shelf))
    assert service.states() == [DeliveryState.SENT]


def test_an_archive_that_takes_no_such_class_keeps_the_draft(service: Service) -> None:
    class Choosy(Shelf):
        def store(self, *paths: Path) -> None:
            if any(str(dcmread(path).SOPInstanceUID) == beside.SOPInstanceUID for path in paths):
                raise SopClassRefused("no Segmentation here")
            super().store(*paths)

    shelf = Choosy()
    beside = service.put_beside(service.draft("shelf"))
    service.deliver(replace(shelf.named(), plain=shelf))
    assert service.states() == [DeliveryState.PROVED]
    assert len(shelf.sent) == 1


def test_where_it_is_not_wanted_only_the_draft_is_sent(service: Service) -> None:
    shelf = Shelf()
    service.put_beside(service.draft("shelf"))
    service.deliver(shelf.named())
    assert service.states() == [DeliveryState.PROVED]
    assert len(shelf.sent) == 1


def test_what_is_proved_is_not_delivered_again(service: Service) -> None:
    shelf = Shelf()
    service.draft("shelf")
    assert service.deliver(shelf.named()) == 1
    service.clock.pass_by(1e6)
    assert service.deliver(shelf.named()) == 0
    assert len(shelf.sent) == 1


def test_nothing_due_and_no_destination_are_no_attempts(service: Service) -> None:
    assert service.deliver() == 0
    assert service.deliver(Shelf().named()) == 0


@pytest.mark.parametrize("kind", ["dimse", "dicomweb", "orthanc"])
def test_no_report_is_sent_to_an_archive_that_has_its_study_under_another_patient(
    service: Service, orthanc: RunningOrthanc, tmp_path: Path, kind: str
) -> None:
    study = service.draft(kind)
    orthanc.upload(
        write_slice(tmp_path, study, patient_id="somebody else", patient_name="Else^Somebody")
    )
    service.deliver(*every_kind(orthanc))
    assert service.states() == [DeliveryState.FAILED]
    alert = service.events()[-1]
    assert alert.level == Level.ALERT
    assert "not sent: the archive has the study under another patient" in alert.message
    assert "if not, correct it there, then run `ctscribe redeliver`" in alert.message
    assert "somebody else" not in alert.message
    assert "sent" not in [event.kind for event in service.events()]


class SilentBefore:
    """An archive that shows a study only once something of it was sent there."""

    def __init__(self, archive: Any) -> None:
        self._archive, self._asked = archive, False

    def find(self, reference: InstanceReference) -> Found:
        if not self._asked:
            self._asked = True
            return Found(0, frozenset())
        return self._archive.find(reference)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._archive, name)


@pytest.mark.parametrize("kind", ["dimse", "dicomweb", "orthanc"])
def test_a_report_filed_beside_another_patient_alerts_and_is_not_proved(
    service: Service, orthanc: RunningOrthanc, tmp_path: Path, kind: str
) -> None:
    study = service.draft(kind)
    orthanc.upload(
        write_slice(tmp_path, study, patient_id="somebody else", patient_name="Else^Somebody")
    )
    (one,) = [one for one in every_kind(orthanc) if one.name == kind]
    service.deliver(replace(one, archive=SilentBefore(one.archive)))
    assert service.states() == [DeliveryState.FAILED]
    alert = service.events()[-1]
    assert alert.level == Level.ALERT
    assert "under another patient or study" in alert.message
    assert "somebody else" not in alert.message
    assert PATIENT_ID not in alert.message


def test_a_destination_that_comes_up_later_gets_the_draft(service: Service, tmp_path: Path) -> None:
    port = free_port()
    destination = Destination("archive", Dimse("127.0.0.1", port, "ARCHIVE"))
    service.draft("archive")
    service.deliver(destination)
    assert service.states() == [DeliveryState.PENDING]
    assert service.deliver(destination) == 0, "the pause is kept"
    with running_archive(tmp_path / "archive", port=port):
        service.clock.pass_by(FIRST_PAUSE_S * 2)
        assert service.deliver(destination) == 1
    assert service.states() == [DeliveryState.PROVED]


def test_pauses_double_up_to_an_hour(service: Service) -> None:
    shelf = Shelf(send_error=PeerUnreachable("away"))
    service.draft("shelf")
    for attempt in range(12):
        assert service.deliver(shelf.named()) == 1
        delivery = service.deliveries()[0]
        pause = (delivery.not_before - service.clock()).total_seconds()
        expected = min(FIRST_PAUSE_S * 2**attempt, LONGEST_PAUSE_S)
        assert expected * (1 - JITTER) <= pause <= expected * (1 + JITTER)
        service.clock.pass_by(pause)
    assert delivery.attempts == 12
    assert delivery.last_error == "away"


def test_weeks_of_failures_do_not_end_the_attempts(service: Service) -> None:
    service.draft("shelf")
    with service.sessions.begin() as session:
        session.execute(update(Delivery).values(attempts=10_000))
    assert service.deliver(Shelf(send_error=PeerUnreachable("away")).named()) == 1
    pause = (service.deliveries()[0].not_before - service.clock()).total_seconds()
    assert pause <= LONGEST_PAUSE_S * (1 + JITTER)


def test_a_pause_written_before_the_clock_was_set_back_is_over(service: Service) -> None:
    service.draft("shelf")
    service.deliver(Shelf(send_error=PeerUnreachable("away")).named())
    service.clock.pass_by(-86400)
    assert service.deliver(Shelf().named()) == 1


def test_the_pause_survives_a_restart(service: Service) -> None:
    service.draft("shelf")
    service.deliver(Shelf(send_error=PeerUnreachable("away")).named())
    restarted = Service(service.sessions, service.spool)
    assert restarted.deliver(Shelf().named()) == 0
    restarted.clock.pass_by(FIRST_PAUSE_S * 2)
    assert restarted.deliver(Shelf().named()) == 1


def test_a_refusal_fails_and_waits_for_a_person(service: Service) -> None:
    shelf = Shelf(send_error=AssociationRejected("ARCHIVE refuses the request (0xA900)"))
    service.draft("shelf")
    service.deliver(shelf.named())
    service.clock.pass_by(1e6)
    assert service.deliver(shelf.named()) == 0
    assert service.states() == [DeliveryState.FAILED]
    assert service.events()[-1].level == Level.ALERT
    shelf.send_error = None
    assert redeliver(service.sessions, Selection("shelf"), service.clock()) == 1
    service.deliver(shelf.named())
    assert service.states() == [DeliveryState.PROVED]


def test_what_waits_for_a_destination_is_due_with_its_first_answer(service: Service) -> None:
    shelf = Shelf(send_error=PeerUnreachable("away"))
    for _ in range(3):
        service.draft("shelf")
    for _ in range(30):
        service.deliver(shelf.named())
        service.clock.pass_by(600)
    shelf.send_error = None
    service.clock.time = min(one.not_before for one in service.deliveries())
    service.deliver(shelf.named())
    assert service.states() == [DeliveryState.PROVED] * 3
    assert len(shelf.sent) == 3


def test_what_waits_for_a_right_is_not_hurried(service: Service) -> None:
    shelf = Shelf(send_error=AssociationRejected("no right yet", tries=3))
    service.draft("shelf")
    service.deliver(shelf.named())
    shelf.send_error = None
    service.draft("shelf")
    assert service.deliver(shelf.named()) == 1
    assert service.states() == [DeliveryState.PENDING, DeliveryState.PROVED]


def test_one_destination_failing_does_not_touch_another(service: Service) -> None:
    service.draft("away", "shelf")
    service.deliver(Shelf(send_error=PeerUnreachable("away")).named("away"), Shelf().named())
    assert service.states() == [DeliveryState.PENDING, DeliveryState.PROVED]


def test_a_slow_destination_holds_up_no_other(service: Service) -> None:
    let_go = threading.Event()

    class Slow(Shelf):
        def store(self, *paths: Path) -> None:
            assert let_go.wait(30)

    service.outbox = CountedOutbox(service.sessions, service.spool)
    service.draft("slow", "shelf")
    with delivering(service.outbox, (Slow().named("slow"), Shelf().named()), 0.01):
        proved = [DeliveryState.PENDING, DeliveryState.PROVED]
        try:
            eventually(lambda: service.states() == proved)
        finally:
            let_go.set()


def test_a_destination_that_does_not_answer_is_left_after_one_attempt(service: Service) -> None:
    for _ in range(3):
        service.draft("shelf")
    assert service.deliver(Shelf(send_error=PeerUnreachable("away")).named()) == 1


def test_a_refused_draft_does_not_hold_up_the_next(service: Service) -> None:
    for _ in range(3):
        service.draft("shelf")
    assert service.deliver(Shelf(send_error=AssociationRejected("no")).named()) == 3


@pytest.mark.parametrize("method", ["store", "find"])
def test_an_attempt_that_died_is_made_again_and_proved_once(
    service: Service, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    shelf = Shelf()

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    service.draft("shelf")
    with monkeypatch.context() as dying:
        dying.setattr(shelf, method, die)
        with pytest.raises(KeyboardInterrupt):
            service.deliver(shelf.named())
    assert service.deliver(shelf.named()) == 0, "the claim is kept for a while"
    service.clock.pass_by(CLAIM_S + 1)
    assert service.deliver(shelf.named()) == 1
    assert service.states() == [DeliveryState.PROVED]
    assert [event.kind for event in service.events()] == ["sent", "delivered"]


def test_a_death_after_sending_and_before_recording_sends_the_same_report_again(
    service: Service, orthanc: RunningOrthanc, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination = every_kind(orthanc)[0]

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    study = service.draft("dimse")
    with monkeypatch.context() as dying:
        dying.setattr(Outbox, "record_sent", die)
        with pytest.raises(KeyboardInterrupt):
            service.deliver(destination)
    service.clock.pass_by(CLAIM_S + 1)
    service.deliver(destination)
    assert service.states() == [DeliveryState.PROVED]
    held = orthanc.get(f"/dicom-web/studies/{study}/instances")
    assert len(held) == 1


def test_a_sent_draft_is_not_sent_again_while_the_proof_waits(service: Service) -> None:
    shelf = Shelf(find_error=PeerUnreachable("away"))
    service.draft("shelf")
    service.deliver(shelf.named())
    assert service.states() == [DeliveryState.SENT]
    shelf.find_error = None
    service.clock.pass_by(FIRST_PAUSE_S * 2)
    service.deliver(shelf.named())
    assert service.states() == [DeliveryState.PROVED]
    assert len(shelf.sent) == 1


def test_a_report_that_is_never_shown_is_sent_again(service: Service) -> None:
    shelf = Shelf(hidden=True)
    service.draft("shelf")
    for _ in range(LOOKS_BEFORE_SENDING_AGAIN + 1):
        service.deliver(shelf.named())
        service.clock.pass_by(LONGEST_PAUSE_S)
    assert len(shelf.sent) == 2
    shelf.hidden = False
    service.deliver(shelf.named())
    assert service.states() == [DeliveryState.PROVED]


def test_a_draft_superseded_before_it_was_sent_is_not_sent(service: Service) -> None:
    shelf = Shelf()
    study = service.draft("shelf")
    service.draft("shelf", study=study, revision=2)
    assert service.deliver(shelf.named()) == 1
    assert service.states() == [DeliveryState.CANCELLED, DeliveryState.PROVED]
    assert len(shelf.sent) == 1


def test_a_draft_superseded_after_it_was_sent_is_still_proved(service: Service) -> None:
    shelf = Shelf(find_error=PeerUnreachable("away"))
    study = service.draft("shelf")
    service.deliver(shelf.named())
    service.draft("shelf", study=study, revision=2)
    shelf.find_error = None
    service.clock.pass_by(FIRST_PAUSE_S * 2)
    service.deliver(shelf.named())
    assert service.states() == [DeliveryState.PROVED, DeliveryState.PROVED]


def test_two_processes_do_not_take_the_same_delivery(service: Service) -> None:
    service.draft("shelf")
    other = Outbox(service.sessions, service.spool, service.clock)
    assert service.outbox.claim("shelf") is not None
    assert other.claim("shelf") is None


def test_a_late_failure_does_not_undo_a_proof(service: Service) -> None:
    service.draft("shelf")
    due = service.outbox.claim("shelf")
    assert due is not None
    service.outbox.record_proved(service.outbox.record_sent(due))
    service.outbox.fail(due, "too late")
    service.outbox.postpone(due, "too late")
    assert service.states() == [DeliveryState.PROVED]


def test_a_lost_report_is_told(service: Service) -> None:
    service.draft("shelf")
    for path in (service.spool / "drafts").iterdir():
        path.unlink()
    service.deliver(Shelf().named())
    assert service.deliveries()[0].last_error == "the report object is no longer in the spool"


def test_delivery_goes_on_after_an_error_nobody_foresaw(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Shelf):
        def store(self, *paths: Path) -> None:
            if not self.sent:
                self.sent.extend(paths)
                raise ArithmeticError(PATIENT_ID)
            super().store(*paths)

    service.outbox = CountedOutbox(service.sessions, service.spool, service.clock)
    service.draft("shelf")
    with delivering(service.outbox, (Broken().named(),), 0.01):
        eventually(lambda: "ArithmeticError" in caplog.text)
        service.clock.pass_by(CLAIM_S + 1)
        eventually(lambda: service.states() == [DeliveryState.PROVED])
    assert PATIENT_ID not in caplog.text


def test_events_and_log_name_no_patient(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    service.draft("shelf")
    with caplog.at_level("INFO"):
        service.deliver(Shelf().named())
    told = caplog.text + "".join(event.message for event in service.events())
    assert "delivered to shelf and proved" in told
    assert PATIENT_ID not in told
    assert "Müller" not in told
