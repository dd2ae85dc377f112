"""What a person asks for: everything of a destination, certain drafts, and another look."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from pydicom import dcmread
from sqlalchemy import select

from dicom_io.archives.proving.proof import Found, InstanceReference, Verdict
from dicom_io.errors import AssociationRejected, PeerUnreachable, PluginError
from plugin.delivery.redelivery import Selection, redeliver, verify
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.tables import Delivery, DeliveryState, Draft, Level
from tests.objects import write_report
from tests.plugin.delivery.drafts import Service, Shelf


@pytest.fixture
def service(sessions: SessionFactory, spool: Spool) -> Service:
    return Service(sessions, spool.root)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def again(service: Service, **which: object) -> int:
    return redeliver(service.sessions, Selection(**which), service.clock())  # type: ignore[arg-type]


def looked(service: Service, shelf: Shelf, **which: object) -> list[Verdict]:
    selection = Selection(**which)  # type: ignore[arg-type]
    named, now = {"shelf": shelf.named()}, service.clock()
    seen = verify(service.sessions, service.spool, named, selection, now)
    return [verdict for *_, verdict in seen]


def retract(service: Service, study: str) -> str:
    """Take the newest draft back; returns the UID of its rejection note, which is due."""
    path = write_report(service.spool / "drafts", study)
    with service.sessions.begin() as session:
        draft = session.scalars(select(Draft).order_by(Draft.id.desc())).first()
        assert draft is not None
        draft.retraction_path = str(path.relative_to(service.spool))
        note = Delivery(destination="shelf", kind="test", retracts=True, not_before=service.clock())
        draft.deliveries.append(note)
    return str(dcmread(path).SOPInstanceUID)


class Watched(Shelf):
    """Lets something happen while it is asked."""

    meanwhile: Callable[[], object] | None = None

    def find(self, reference: InstanceReference) -> Found:
        if self.meanwhile is not None:
            self.meanwhile()
        return super().find(reference)


def test_of_a_destination_the_failed_and_the_waiting_are_due(
    service: Service, shelf: Shelf
) -> None:
    service.draft("shelf", "other")
    service.deliver(shelf.named())
    shelf.send_error = AssociationRejected("no")
    service.draft("shelf")
    service.deliver(shelf.named())
    shelf.send_error = PeerUnreachable("away")
    service.draft("shelf")
    service.deliver(shelf.named())
    shelf.send_error = None
    assert again(service, destination="shelf") == 2
    assert service.deliver(shelf.named()) == 2
    assert len(shelf.sent) == 3
    assert service.states().count(DeliveryState.PROVED) == 3
    assert service.states().count(DeliveryState.PENDING) == 1, "at the other destination"


@pytest.mark.parametrize("name", ["study", "draft", "since"])
def test_drafts_that_are_named_are_looked_for_and_sent_where_they_are_missing(
    service: Service, shelf: Shelf, name: str
) -> None:
    service.draft("shelf")
    service.clock.pass_by(100)
    study = service.draft("shelf")
    service.deliver(shelf.named())
    newest = dcmread(shelf.sent[-1]).SOPInstanceUID
    since = service.clock() - timedelta(seconds=1)
    which = {"study": study, "draft": str(newest), "since": since}[name]
    assert again(service, **{name: which}) == 1
    service.deliver(shelf.named())
    assert len(shelf.sent) == 2, "it was there"
    shelf.sent.pop()
    assert again(service, **{name: which}) == 1
    service.deliver(shelf.named())
    assert len(shelf.sent) == 2
    assert service.states() == [DeliveryState.PROVED] * 2


@pytest.mark.parametrize("name", ["study", "draft"])
def test_a_study_or_draft_that_there_is_not_is_an_error(
    service: Service, shelf: Shelf, name: str
) -> None:
    service.draft("shelf")
    for ask in (
        lambda: again(service, **{name: "9.9"}),
        lambda: looked(service, shelf, **{name: "9.9"}),
    ):
        with pytest.raises(PluginError, match="no such"):
            ask()


def test_a_superseded_draft_is_not_due(service: Service, shelf: Shelf) -> None:
    study = service.draft("shelf")
    service.deliver(shelf.named())
    service.draft("shelf", study=study, revision=2)
    assert again(service, study=study) == 1


def test_what_an_archive_lost_is_found_out_and_sent_again(service: Service, shelf: Shelf) -> None:
    service.draft("shelf")
    service.draft("shelf")
    service.deliver(shelf.named())
    assert looked(service, shelf) == [Verdict.PROVED] * 2
    shelf.sent.pop()
    assert looked(service, shelf) == [Verdict.PROVED, Verdict.MISSING]
    assert service.states() == [DeliveryState.PROVED, DeliveryState.PENDING]
    assert "no longer found at shelf" in service.events()[-1].message
    service.deliver(shelf.named())
    assert service.states() == [DeliveryState.PROVED] * 2


def test_what_stands_under_another_patient_now_is_an_alert(service: Service, shelf: Shelf) -> None:
    service.draft("shelf")
    service.deliver(shelf.named())
    other = dcmread(shelf.sent[0])
    other.PatientID, other.PatientName = "99", "Else^Anna"
    other.save_as(shelf.sent[0].with_name("other.dcm"))
    shelf.sent[0] = shelf.sent[0].with_name("other.dcm")
    assert looked(service, shelf, destination="shelf") == [Verdict.OTHER_PATIENT]
    assert service.states() == [DeliveryState.FAILED]
    assert service.events()[-1].level == Level.ALERT


def test_an_archive_that_cannot_be_asked_proves_nothing_false(
    service: Service, shelf: Shelf
) -> None:
    service.draft("shelf")
    service.deliver(shelf.named())
    shelf.find_error = PeerUnreachable("away")
    with pytest.raises(PeerUnreachable):
        looked(service, shelf)
    assert service.states() == [DeliveryState.PROVED]


def test_a_rejection_note_is_looked_for_itself_and_sent_again_where_it_is_missing(
    service: Service, shelf: Shelf
) -> None:
    study = service.draft("shelf")
    service.deliver(shelf.named())
    note = retract(service, study)
    service.deliver(shelf.named())
    del shelf.sent[0]  # the archive took the draft away, as the note asks
    assert looked(service, shelf) == [Verdict.PROVED]
    shelf.sent.clear()
    seen = verify(
        service.sessions, service.spool, {"shelf": shelf.named()}, Selection(), service.clock()
    )
    assert list(seen) == [(note, "shelf", Verdict.MISSING)]
    assert service.states() == [DeliveryState.PROVED, DeliveryState.PENDING]
    service.deliver(shelf.named())
    assert [str(dcmread(path).SOPInstanceUID) for path in shelf.sent] == [note]


def test_a_draft_that_is_retracted_while_it_is_looked_for_is_not_sent_again(
    service: Service,
) -> None:
    shelf = Watched()
    study = service.draft("shelf")
    service.deliver(shelf.named())
    shelf.sent.clear()
    shelf.meanwhile = lambda: retract(service, study)
    assert looked(service, shelf) == []
    assert service.states()[0] == DeliveryState.PROVED
