"""A person wants a new draft of a study, or takes the present one back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from dicom_io.errors import NotKnown, PluginError
from plugin.drafting.retraction import TakenBack, take_back
from plugin.state import audit
from plugin.state.audit import Action, Entry, Subject, Who
from plugin.state.clock import now_by, now_of
from plugin.state.completeness import Patience, open_or_move_job
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.running.bell import ring
from plugin.state.studies import lock_study
from plugin.state.tables import Draft, Instance, Study

# Nothing more is waited for; what still arrives moves the moment as always
_AT_ONCE = timedelta(0)


def study_named(session: Session, wanted: str) -> Study:
    """Return the study with an accession number or Study Instance UID, the latest of several.

    Parameters
    ----------
    session : Session
        The database.
    wanted : str
        The number or UID.

    Raises
    ------
    NotKnown
        There is none.
    """
    named = or_(Study.study_instance_uid == wanted, Study.accession_number == wanted)
    found = session.scalar(select(Study).where(named).order_by(Study.id.desc()).limit(1))
    if found is None:
        raise NotKnown("no such study: try the Study Instance UID")
    return found


def redraft(
    sessions: SessionFactory, wanted: str, patience: Patience, who: Who, reason: str = ""
) -> str:
    """Have a new draft made, even if no slice is new; returns the Study Instance UID.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    wanted : str
        Accession number or Study Instance UID.
    patience : Patience
        How long slices are waited for that still arrive.
    who : Who
        Asks for it.
    reason : str
        For the audit trail.

    Raises
    ------
    PluginError
        There is no such study, or its images were deleted.
    """
    with sessions.begin() as session:
        now = now_of(session)
        study = lock_study(session, study_named(session, wanted).id)
        readable = exists().where(Instance.study_id == study.id, Instance.processed)
        if not session.scalar(select(readable)):
            raise PluginError(
                "no image of it is here: send the study again to the title for new drafts"
            )
        at_once = replace(patience, quiet=_AT_ONCE)
        open_or_move_job(session, study.id, patience=at_once, now=now, forced=True)
        audit.record(session, _asked(study, who, "a new draft", reason), now=now)
        ring(session)
        return study.study_instance_uid


def retract(
    sessions: SessionFactory,
    spool: Spool,
    wanted: str,
    rejection_notes: Collection[str],
    who: Who,
    reason: str = "",
) -> TakenBack:
    """Take the present draft of a study back, whether it was delivered or not.

    Parameters
    ----------
    sessions, spool
        The service's database and spool.
    wanted : str
        Accession number or Study Instance UID.
    rejection_notes : collection of str
        Names of the destinations that take rejection notes.
    who : Who
        Asks for it.
    reason : str
        For the audit trail; the timeline names no patient, so it does not quote it.

    Raises
    ------
    PluginError
        There is no such study, or no draft of it that stands.
    """
    with sessions() as session:
        study = study_named(session, wanted)
        current = Draft.study_id == study.id, Draft.is_current, Draft.retraction_path.is_(None)
        draft_id = session.scalar(select(Draft.id).where(*current))
        asked = _asked(study, who, "the draft is retracted", reason)
    taken = None
    if draft_id is not None:
        why, now = "a person asked for it", now_by(sessions)
        taken = take_back(sessions, spool, draft_id, why, rejection_notes, now=now, asked=asked)
    if taken is None:
        raise PluginError("the study has no draft that stands")
    return taken


def _asked(study: Study, who: Who, what: str, reason: str) -> Entry:
    subject = Subject(
        study_instance_uid=study.study_instance_uid, accession_number=study.accession_number
    )
    detail = f"{what}: {reason}" if reason else what
    return Entry(action=Action.ASKED, who=who, study=subject, detail=detail)
