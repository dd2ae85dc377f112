"""A model turned out bad: every draft that it wrote is taken back."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from pydicom import dcmread
from sqlalchemy import select

from dicom_io.errors import PluginError
from plugin.drafting.retraction import Retracted, Retraction, retract
from plugin.state.audit import Action, Entry, record, this_person
from plugin.state.database import SessionFactory
from plugin.state.kinds import Kind
from plugin.state.spool import Spool
from plugin.state.studies import lock_study
from plugin.state.tables import Draft, Level
from plugin.state.timeline import add_event

# Enough to mean one model among those of a service, as with commits
SHORTEST_DIGEST = 8


@dataclass(frozen=True)
class TakenBack:
    """A draft of the model, and where it may stand.

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


def digest_like(sessions: SessionFactory, beginning: str) -> str:
    """Return the digest of the one model whose drafts begin with some digits.

    Raises
    ------
    PluginError
        No draft is of such a model, or drafts of several are.
    """
    if len(beginning) < SHORTEST_DIGEST:
        raise PluginError(f"{beginning}: name at least {SHORTEST_DIGEST} digits of the digest")
    with sessions() as session:
        alike = Draft.model_digest.startswith(beginning, autoescape=True)
        found = session.scalars(select(Draft.model_digest).where(alike).distinct()).all()
    if len(found) != 1:
        count = "several models" if found else "no draft"
        raise PluginError(f"{beginning}: {count}; `ctscribe models list` names the digests")
    return str(found[0])


def standing_drafts(sessions: SessionFactory, digest: str) -> list[int]:
    """Return the drafts of a model that were not taken back, oldest first."""
    with sessions() as session:
        stands = Draft.model_digest == digest, Draft.retraction_path.is_(None)
        return list(session.scalars(select(Draft.id).where(*stands).order_by(Draft.id)))


def retract_drafts(
    sessions: SessionFactory,
    spool: Spool,
    digest: str,
    rejection_notes: Collection[str],
    now: datetime,
) -> Iterator[TakenBack]:
    """Take back every draft of a model, delivered or not, one after the other.

    Killed in between, it is called again, and goes on with the rest.

    Parameters
    ----------
    sessions, spool
        The service's database and spool.
    digest : str
        Of the model.
    rejection_notes : collection of str
        Names of the destinations that take rejection notes.
    now : datetime
        The moment, in UTC.

    Raises
    ------
    StoreFull
        The disk takes no rejection note.
    """
    count = 0
    for draft_id in standing_drafts(sessions, digest):
        one = _take_back(sessions, spool, draft_id, digest, rejection_notes, now)
        if one is not None:
            count += 1
            yield one
    with sessions.begin() as session:
        message = f"{count} drafts of the model {digest[:12]} were retracted"
        add_event(session, Kind.MODEL_RETRACTED, message, now=now, level=Level.ALERT)
        record(session, Entry(action=Action.ASKED, who=this_person(), detail=message), now=now)


def _take_back(
    sessions: SessionFactory,
    spool: Spool,
    draft_id: int,
    digest: str,
    rejection_notes: Collection[str],
    now: datetime,
) -> TakenBack | None:
    with sessions() as session:
        note = _note(spool, session.get_one(Draft, draft_id).path)
    with sessions.begin() as session:
        draft = session.get_one(Draft, draft_id)
        study = lock_study(session, draft.study_id)
        session.refresh(draft)
        if draft.retraction_path is not None:  # meanwhile, for another reason
            return None
        why = f"its model {digest[:12]} turned out bad"
        where = retract(session, study, Retraction(draft_id, note, why), rejection_notes, now)
        taken = _taken(draft, where)
    if note:
        spool.recorded(note)
    return taken


def _note(spool: Spool, path: str) -> str:
    """Write the note that rejects a report object; empty where the object was deleted."""
    from reporting.rejection import rejection_note  # highdicom takes a second to import

    if not path:
        return ""
    rejected = dcmread(spool.absolute(path))
    return spool.write_draft(rejection_note(rejected, rejected))


def _taken(draft: Draft, where: Retracted) -> TakenBack:
    study = draft.study
    number = study.accession_number or study.study_instance_uid
    return TakenBack(number, draft.sop_instance_uid, draft.revision, where)
