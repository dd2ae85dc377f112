"""What happened to a study, step by step, and why there is (no) draft."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from sqlalchemy import func, make_url, or_, select
from sqlalchemy.orm import Session

from dicom_io.errors import ConfigurationError, CtscribeError, PluginError
from plugin.commands.study_list import StudyList
from plugin.console import say
from plugin.delivery.outbox import OPEN
from plugin.drafting.engine_watch import DOWN, latest_engine_event
from plugin.rules.decision import Decision
from plugin.rules.urgency import Urgency
from plugin.state.clock import now_of
from plugin.state.database import open_database, session_factory
from plugin.state.pulse import processes
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


def print_studies(
    database_url: str,
    spool: Path,
    wanted: StudyList,
    *,
    accession_numbers: bool = False,
    as_json: bool,
) -> None:
    """List studies, newest first, with where each stands, and the service's processes.

    Parameters
    ----------
    database_url, spool
        Of the service.
    wanted : StudyList
        Which.
    accession_numbers : bool
        Whether they are shown.
    as_json : bool
        Whether one JSON object is printed in place of lines.
    """
    living = processes(spool)
    with _session(database_url) as session:
        studies = session.scalars(wanted.query()).all()
        rows = [study_to_dict(session, study) for study in studies]
        if accession_numbers:
            for study, row in zip(studies, rows, strict=True):
                row["accession_number"] = study.accession_number
        alert = _engine_alert(session)
    if as_json:
        found = {"alert": alert, "processes": list(map(asdict, living)), "studies": rows}
        click.echo(json.dumps(found, indent=2))
        return
    if alert is not None:
        say(f"ALERT: {alert}")
    for process in living:
        if process.state != "alive":
            say(f"ALERT: {process}")
    if not rows:
        say("no such study" if wanted.chooses else "no study has arrived yet")
    for row in rows:
        names = filter(None, (row["study_instance_uid"], row.get("accession_number")))
        say("  ".join((row["last_received_at"], *names, row["verdict"])))


def print_timeline(database_url: str, wanted: str, *, as_json: bool) -> None:
    """Print the timeline of the studies with this accession number or Study Instance UID.

    Parameters
    ----------
    database_url : str
        Of the service's database.
    wanted : str
        The number or UID.
    as_json : bool
        Whether one JSON object is printed in place of lines.

    Raises
    ------
    PluginError
        No study has it now.
    """
    with _session(database_url) as session:
        match = or_(Study.study_instance_uid == wanted, Study.accession_number == wanted)
        studies = session.scalars(select(Study).where(match).order_by(Study.id)).all()
        if not studies:
            raise PluginError(
                "no study has this number now: it has not arrived, or its number was corrected; "
                "try the Study Instance UID"
            )
        found = [
            {**study_to_dict(session, study), "events": _events(session, study)}
            for study in studies
        ]
    if as_json:
        click.echo(json.dumps({"studies": found}, indent=2))
        return
    for study in found:
        say(f"study {study['study_instance_uid']}: {study['instances']} instances")
        for event in study["events"]:
            mark = "" if event["level"] == "info" else f" {event['level'].upper()}:"
            say(f"  {event['time']} {mark} {event['message']}")
        if study["worker"]:
            say(f"  last worked on by {study['worker']}")
        say(f"  now: {study['verdict']}")


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
        "first_received_at": _shown(study.first_received_at),
        "last_received_at": _shown(study.last_received_at),
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
        return _waiting(latest, _engine_alert(session), now_of(session))
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


def _engine_alert(session: Session) -> str | None:
    """Say that the engine is down, if that is the last thing that was heard of it."""
    last = latest_engine_event(session)
    if last is None or last.kind != DOWN:
        return None
    return f"{last.message} (since {_shown(last.time)})"


def _waiting(job: Job, alert: str | None, now: datetime) -> str:
    due = max(job.deadline, job.not_before)
    if alert is not None and due <= now:
        return f"due: {alert}"
    if job.error is not None:
        return f"tried again at {_shown(due)}: {job.error}"
    if due > now:
        return f"waiting for more slices until {_shown(due)}"
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
        {"time": _shown(e.time), "kind": e.kind, "level": e.level, "message": e.message}
        for e in events
    ]


def _shown(moment: datetime) -> str:
    return moment.astimezone().isoformat(" ", "milliseconds")


def _session(database_url: str) -> Session:
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise ConfigurationError(
            f"there is no database at {url.database}: check that -c names the service's file, and "
            "that the service has run"
        )
    try:
        return session_factory(open_database(database_url))()
    except (ModuleNotFoundError, CtscribeError):  # the command line tells what to do
        raise
    except Exception as error:
        raise ConfigurationError(
            f"the database cannot be opened ({type(error).__name__}): check storage.database "
            "and storage.spool, and that -c names the service's file"
        ) from error
