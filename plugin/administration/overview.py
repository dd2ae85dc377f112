"""Where a study stands, what happened to it, and why there is (no) draft."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from dicom_io.errors import NotKnown
from plugin.delivery.outbox import OPEN
from plugin.drafting.engine_watch import DOWN, latest_engine_event
from plugin.rules.decision import Decision
from plugin.rules.urgency import Urgency
from plugin.state.clock import now_of
from plugin.state.tables import (
    Delivery,
    DeliveryState,
    Draft,
    Event,
    Instance,
    Job,
    JobState,
    Study,
    StudyState,
)


def timelines(session: Session, wanted: str) -> list[dict[str, Any]]:
    """Return the studies with this accession number or Study Instance UID, with their events.

    Raises
    ------
    NotKnown
        No study has it now.
    """
    match = or_(Study.study_instance_uid == wanted, Study.accession_number == wanted)
    studies = session.scalars(select(Study).where(match).order_by(Study.id)).all()
    if not studies:
        raise NotKnown(
            "no study has this number now: it has not arrived, or its number was corrected; "
            "try the Study Instance UID"
        )
    return [{**study_to_dict(session, one), "events": _events(session, one)} for one in studies]


def study_to_dict(session: Session, study: Study) -> dict[str, Any]:
    """Sum a study up in plain values."""
    instances = session.scalar(
        select(func.count()).select_from(Instance).where(Instance.study_id == study.id)
    )
    draft = session.scalar(select(Draft).where(Draft.study_id == study.id, Draft.is_current))
    notes = _open_notes(session, study)
    latest = select(Job).where(Job.study_id == study.id).order_by(Job.revision.desc()).limit(1)
    job = session.scalar(latest)
    begun = select(Job.worker).where(Job.study_id == study.id, Job.worker.is_not(None))
    return {
        "study_instance_uid": study.study_instance_uid,
        "sender": study.sender,
        "state": study.state,
        "verdict": "; ".join([_verdict(session, study, draft), *map(_note_told, notes)]),
        "worker": session.scalar(begun.order_by(Job.revision.desc()).limit(1)),
        "urgency": None if job is None else Urgency(job.urgency).word,
        "decision": str(Decision.of_kept(job.decision)) if job and job.decision else None,
        "instances": instances,
        "first_received_at": shown(study.first_received_at),
        "last_received_at": shown(study.last_received_at),
        "draft": None if draft is None else _draft_to_dict(draft),
        "rejection_notes": [
            {"revision": note.draft.revision, **_delivery_to_dict(note)} for note in notes
        ],
    }


def _draft_to_dict(draft: Draft) -> dict[str, Any]:
    return {
        "revision": draft.revision,
        "state": draft.state,
        "sop_instance_uid": draft.sop_instance_uid,
        "path": draft.path or None,
        "retracted": draft.retraction_path is not None,
        "deliveries": [
            _delivery_to_dict(delivery) for delivery in draft.deliveries if not delivery.retracts
        ],
    }


def _delivery_to_dict(delivery: Delivery) -> dict[str, Any]:
    return {
        "destination": delivery.destination,
        "state": delivery.state,
        "attempts": delivery.attempts,
    }


def _open_notes(session: Session, study: Study) -> Sequence[Delivery]:
    """Return the rejection notes that have not arrived: a draft of another identity may stand."""
    notes = select(Delivery).join(Draft).where(Draft.study_id == study.id, Delivery.retracts)
    open_ones = notes.where(Delivery.state.in_([*OPEN, DeliveryState.FAILED]))
    return session.scalars(open_ones.order_by(Delivery.id)).all()


def _verdict(session: Session, study: Study, draft: Draft | None) -> str:
    """Say in one line where the study stands, or why it has no draft."""
    latest = session.scalar(
        select(Job).where(Job.study_id == study.id).order_by(Job.revision.desc()).limit(1)
    )
    if latest is not None and latest.state == JobState.RUNNING:
        return "the model is at work"
    if latest is not None and latest.state == JobState.PENDING:
        return _waiting(latest, engine_alert(session), now_of(session))
    if draft is not None and draft.retraction_path is not None:
        why = f": {latest.error}" if latest is not None and latest.error else ""
        return f"no draft: draft {draft.revision} was retracted, and there is no new one{why}"
    if draft is not None:
        stands = f"draft {draft.revision} ({draft.state}): {_deliveries(draft)}"
        return stands + _no_newer(latest, draft)
    if study.state == StudyState.FAILED and latest is not None:
        return f"no draft: {latest.error}"
    return "no draft: no image that the model could read has arrived"


def _no_newer(latest: Job | None, draft: Draft) -> str:
    """Say that slices came after the draft, and why they made no new one."""
    if latest is None or latest.state != JobState.FAILED or latest.revision <= draft.revision:
        return ""
    return f"; revision {latest.revision}: no new draft: {latest.error}"


def engine_alert(session: Session) -> str | None:
    """Say that the engine is down, if that is the last thing that was heard of it."""
    last = latest_engine_event(session)
    if last is None or last.kind != DOWN:
        return None
    return f"{last.message} (since {shown(last.time)})"


def _waiting(job: Job, alert: str | None, now: datetime) -> str:
    due = max(job.deadline, job.not_before)
    if alert is not None and due <= now:
        return f"due: {alert}"
    if job.error is not None:
        return f"tried again at {shown(due)}: {job.error}"
    if due > now:
        return f"waiting for more slices until {shown(due)}"
    return "due: waits for open associations to end, or for a free worker"


def _deliveries(draft: Draft) -> str:
    if not draft.deliveries:
        return "no destination is configured, it lies in the spool"
    return ", ".join(_delivery_told(one) for one in draft.deliveries if not one.retracts)


def _delivery_told(delivery: Delivery) -> str:
    why = f" ({delivery.last_error})" if delivery.last_error else ""
    return f"{delivery.destination} {delivery.state}{why}"


def _note_told(note: Delivery) -> str:
    return f"rejection note of draft {note.draft.revision}: {_delivery_told(note)}"


def _events(session: Session, study: Study) -> list[dict[str, Any]]:
    events = session.scalars(select(Event).where(Event.study_id == study.id).order_by(Event.id))
    return [
        {"time": shown(e.time), "kind": e.kind, "level": e.level, "message": e.message}
        for e in events
    ]


def shown(moment: datetime) -> str:
    return moment.astimezone().isoformat(" ", "milliseconds")
