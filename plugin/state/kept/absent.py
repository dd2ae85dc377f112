"""What a study is known to lack: refused, cut off, set aside, or deleted and not sent again.

It makes the draft "incomplete input", until it arrives.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import Session

from dicom_io.counted import counted
from plugin.state.completeness import Patience, open_or_move_job
from plugin.state.kept.pruned import not_come_again
from plugin.state.kinds import Kind
from plugin.state.studies import lock_study
from plugin.state.tables import Absent, Instance, Job, Level, Quarantine, Study, Verdict
from plugin.state.timeline import add_event_once

_SAID = "instances were refused or cut off on arrival: drafts say so until they have come"


def note_absent(
    session: Session, study: str, sop_instance: str, patience: Patience, now: datetime
) -> None:
    """Remember an instance whose arrival failed, unless it has arrived before or after.

    A study that has a draft gets a new one, as if the instance had come late: the draft that stands
    does not say what it lacks.

    Parameters
    ----------
    session : Session
        The caller's transaction.
    study, sop_instance : str
        Validated UIDs.
    patience : Patience
        How long more of the study is waited for.
    now : datetime
        The moment, in UTC.
    """
    for known in (Absent.sop_instance_uid, Instance.sop_instance_uid):
        if session.scalar(select(known).where(known == sop_instance)) is not None:
            return
    session.add(Absent(study_instance_uid=study, sop_instance_uid=sop_instance, since=now))
    study_id = session.scalar(select(Study.id).where(Study.study_instance_uid == study))
    if study_id is None:
        return
    lock_study(session, study_id)
    add_event_once(session, Kind.ABSENT, _SAID, now=now, study_id=study_id, level=Level.WARNING)
    if session.scalar(select(exists().where(Job.study_id == study_id))):
        open_or_move_job(session, study_id, patience=patience, now=now)


def what_is_lacking(session: Session, study: Study) -> str | None:
    """Say which images of a study were sent and cannot be read; None where all can."""
    arrived = exists().where(Instance.sop_instance_uid == Absent.sop_instance_uid)
    absent = _count(session, Absent.study_instance_uid == study.study_instance_uid, ~arrived)
    is_aside = Quarantine.verdict == Verdict.ASIDE
    aside = _count(session, Quarantine.study_id == study.id, is_aside)
    lacking = []
    if absent:
        lacking.append(f"{_instances(absent)} refused or cut off on arrival, and not sent again")
    if aside:
        lacking.append(f"{_instances(aside)} set aside: the SOP Instance UID belongs to another")
    if gone := not_come_again(session, study.id):
        lacking.append(gone)
    return "; ".join(lacking) or None


def _count(session: Session, *conditions: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count()).where(*conditions)) or 0


def _instances(count: int) -> str:
    return counted(count, "instance was", "instances were")
