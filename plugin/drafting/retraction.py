"""A draft is taken back: it names another patient or accession number, or its model was bad.

Destinations that take rejection notes (IHE RAD, Imaging Object Change Management) get one; at the
others a person must remove the draft, and an alert says so.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from pydicom import Dataset, dcmread
from sqlalchemy import select
from sqlalchemy.orm import Session

from plugin.state import audit
from plugin.state.audit import Action, Entry, drafted, this_process
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.kept.beside import paths_beside
from plugin.state.kinds import Kind
from plugin.state.running.bell import ring
from plugin.state.studies import lock_study
from plugin.state.tables import Delivery, DeliveryState, Draft, Level, Study
from plugin.state.timeline import add_event

_OPEN = (DeliveryState.PENDING, DeliveryState.SENT)


@dataclass(frozen=True)
class Retraction:
    """A draft to be taken back, and its rejection note in the spool."""

    draft_id: int
    path: str
    """Empty where there is none, because the draft's own file was deleted."""
    why: str
    """For the timeline; names no patient."""


class Retracted(NamedTuple):
    """Where a draft that was taken back may stand: names of destinations."""

    told: tuple[str, ...]
    """They get a rejection note."""
    by_hand: tuple[str, ...]
    """A person must remove it there."""


@dataclass(frozen=True)
class TakenBack:
    """A draft that was taken back, and where it may stand.

    Parameters
    ----------
    study : str
        Accession number, or Study Instance UID where there is none.
    draft : str
        SOP Instance UID of the report object.
    revision : int
        Which draft of its study it is.
    where : Retracted
        Destinations that get a rejection note, and those where a person must remove it.
    """

    study: str
    draft: str
    revision: int
    where: Retracted


def prepare_retraction(
    sessions: SessionFactory,
    spool: Spool,
    study_id: int,
    corrected: Path,
    changed: Collection[str],
) -> Retraction | None:
    """Write the rejection note of the study's current draft; None where there is nothing to reject.

    Parameters
    ----------
    sessions, spool
        The service's database and spool.
    study_id : int
        The study.
    corrected : Path
        An instance as it came again: the note is filed under the identity that it names, which is
        the archive's.
    changed : collection of str
        Keywords of the attributes of the identity that it names otherwise than before.

    Raises
    ------
    StoreFull
        The disk does not take it.
    """
    with sessions() as session:
        draft = session.scalar(select(Draft).where(Draft.study_id == study_id, Draft.is_current))
    if draft is None or draft.retraction_path is not None:
        return None
    why = f"the study came again with another {' and '.join(sorted(changed))}"
    if not draft.path:
        return Retraction(draft.id, "", why)
    from reporting.objects.rejection import rejection_note  # highdicom takes a second to import

    rejected = dcmread(spool.absolute(draft.path))
    header = dcmread(corrected, stop_before_pixels=True, force=True)
    note = spool.write_draft(rejection_note(rejected, header, _beside(spool, rejected)))
    return Retraction(draft.id, note, why)


def retract(
    session: Session,
    study: Study,
    retraction: Retraction,
    rejection_notes: Collection[str],
    now: datetime,
) -> Retracted:
    """Take the draft back: its deliveries end, and its rejection note is due.

    Parameters
    ----------
    session : Session
        The caller's transaction.
    study : Study
        Locked.
    retraction : Retraction
        What `prepare_retraction` wrote.
    rejection_notes : collection of str
        Names of the destinations that take rejection notes.
    now : datetime
        The moment, in UTC.
    """
    draft = session.get_one(Draft, retraction.draft_id)
    draft.retraction_path = retraction.path
    told, by_hand = [], []
    for delivery in list(draft.deliveries):
        sent = delivery.state != DeliveryState.PENDING or delivery.attempts > 0
        if delivery.state in _OPEN:
            delivery.state = DeliveryState.CANCELLED
        # One that is being sent at this moment may still arrive: the note goes there in any case
        if delivery.destination in rejection_notes and retraction.path:
            draft.deliveries.append(_note(delivery, now))
            told.append(delivery.destination)
        elif sent:
            by_hand.append(delivery.destination)
    accepted = _withdraw_accepted(session, draft)
    ring(session)
    message = f"draft {draft.revision} is retracted: {retraction.why}"
    message += _where("; a rejection note goes to", told)
    message += _where("; remove it by hand at", by_hand)
    message += _where("; remove the report that was accepted of it by hand at", accepted)
    for revision, destinations in _earlier(session, draft):
        message += _where(f"; remove draft {revision} by hand, too, at", destinations)
    add_event(session, Kind.RETRACTED, message, now=now, study_id=study.id, level=Level.ALERT)
    entry = Entry(action=Action.RETRACTED, who=this_process(), study=drafted(draft), detail=message)
    audit.record(session, entry, now=now)
    return Retracted(tuple(told), tuple(sorted({*by_hand, *accepted})))


def _withdraw_accepted(session: Session, draft: Draft) -> list[str]:
    """End the deliveries of what was accepted of a draft; name the destinations that may have it.

    A note rejects the draft only: what a physician answers for is taken back by a physician.
    """
    of_final = Delivery.draft_id == draft.id, Delivery.final_id.is_not(None)
    found = set()
    for delivery in session.scalars(select(Delivery).where(*of_final)):
        if delivery.state != DeliveryState.PENDING or delivery.attempts > 0:
            found.add(delivery.destination)
        if delivery.state in _OPEN:
            delivery.state = DeliveryState.CANCELLED
    return sorted(found)


def note_on(spool: Spool, path: str) -> Dataset | None:
    """Make the note that rejects a report object; None where the object was deleted.

    Parameters
    ----------
    spool : Spool
        The service's.
    path : str
        Of the report object, relative to the spool.
    """
    from reporting.objects.rejection import rejection_note  # highdicom takes a second to import

    if not path:
        return None
    rejected = dcmread(spool.absolute(path))
    return rejection_note(rejected, rejected, _beside(spool, rejected))


def _beside(spool: Spool, draft: Dataset) -> list[Dataset]:
    """Read the headers of what stands beside a draft."""
    paths = (spool.absolute(path) for path in paths_beside(str(draft.SOPInstanceUID)))
    return [dcmread(path, stop_before_pixels=True) for path in paths if path.is_file()]


def take_back(
    sessions: SessionFactory,
    spool: Spool,
    draft_id: int,
    why: str,
    rejection_notes: Collection[str],
    *,
    now: datetime,
    asked: Entry | None = None,
) -> TakenBack | None:
    """Take one draft back, delivered or not; None where that was done meanwhile.

    Parameters
    ----------
    sessions, spool
        The service's database and spool.
    draft_id : int
        Of the draft.
    why : str
        For the timeline; names no patient.
    rejection_notes : collection of str
        Names of the destinations that take rejection notes.
    now : datetime
        The moment, in UTC.
    asked : Entry, optional
        Stands in the audit trail before it: who wanted it.

    Raises
    ------
    StoreFull
        The disk takes no rejection note.
    """
    with sessions() as session:
        made = note_on(spool, session.get_one(Draft, draft_id).path)
    note = spool.write_draft(made) if made else ""
    with sessions.begin() as session:
        draft = session.get_one(Draft, draft_id)
        study = lock_study(session, draft.study_id)
        session.refresh(draft)
        if draft.retraction_path is not None:  # meanwhile, for another reason
            return None
        if asked is not None:
            audit.record(session, asked, now=now)
        where = retract(session, study, Retraction(draft_id, note, why), rejection_notes, now)
        number = study.accession_number or study.study_instance_uid
        taken = TakenBack(number, draft.sop_instance_uid, draft.revision, where)
    if note:
        spool.recorded(note)
    return taken


def _earlier(session: Session, draft: Draft) -> list[tuple[int, list[str]]]:
    """Drafts that this one replaced, and where they are, under the identity that was wrong."""
    drafts = session.scalars(
        select(Draft)
        .where(Draft.study_id == draft.study_id, Draft.revision < draft.revision)
        .where(Draft.retraction_path.is_(None))
        .order_by(Draft.revision)
    )
    found = ((one.revision, _sent_to(one)) for one in drafts)
    return [(revision, destinations) for revision, destinations in found if destinations]


def _sent_to(draft: Draft) -> list[str]:
    return sorted({one.destination for one in draft.deliveries if one.sends > 0})


def _note(delivery: Delivery, now: datetime) -> Delivery:
    return Delivery(
        destination=delivery.destination,
        kind=delivery.kind,
        retracts=True,
        state=DeliveryState.PENDING,
        attempts=0,
        not_before=now,
    )


def _where(what: str, names: Sequence[str]) -> str:
    return f"{what} {', '.join(names)}" if names else ""
