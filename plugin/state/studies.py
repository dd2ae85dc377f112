"""A study's row: made, locked, and told where the study stands.

Whoever changes a study or its jobs locks the row first, so that changes come one after another.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import bindparam, exists, select, update
from sqlalchemy.orm import Session

from plugin.state.kinds import Kind
from plugin.state.prepared import Prepared
from plugin.state.tables import Draft, Job, JobState, Level, Study, StudyState
from plugin.state.timeline import add_event

_STUDIES = Study.metadata.tables["studies"]
LOCK_STUDY = Prepared(
    update(_STUDIES)
    .where(_STUDIES.c.study_instance_uid == bindparam("uid"))
    .values(last_received_at=bindparam("now"), image_bytes=None)
    .returning(_STUDIES.c.id, _STUDIES.c.quiet_s)
)
"""Lock the study of a UID that sends something now, and return its id."""


class Locked(NamedTuple):
    """A study that no other transaction changes."""

    id: int
    quiet_s: float | None
    """In place of the settings' own, as a rule says."""


def lock_study(session: Session, study_id: int) -> Study:
    """Make every other change of the study wait for the end of this transaction."""
    return session.execute(
        select(Study)
        .where(Study.id == study_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).scalar_one()


def lock_or_add_study(
    session: Session,
    study_instance_uid: str,
    accession_number: str | None,
    now: datetime,
    sender: str | None = None,
) -> Locked:
    """Return a study that sends something now, locked and made if need be.

    Two receivers may both make it: the second one's insert fails as a whole, and its transaction
    must begin again.

    Parameters
    ----------
    session : Session
        The caller's transaction.
    study_instance_uid, accession_number : str
        As the instance that arrives gives them.
    now : datetime
        The moment, in UTC.
    sender : str, optional
        AE title that it comes from.
    """
    values = {"uid": study_instance_uid, "now": now}
    known = LOCK_STUDY.execute(session.connection(), values).one_or_none()
    if known is not None:
        return Locked(int(known.id), known.quiet_s)
    study = Study(
        study_instance_uid=study_instance_uid,
        accession_number=accession_number,
        sender=sender,
        first_received_at=now,
        last_received_at=now,
        state=StudyState.RECEIVING,
    )
    session.add(study)
    session.flush()
    add_event(session, Kind.RECEIVED, "first instance", now=now, study_id=study.id)
    return Locked(study.id, None)


def job_waits(session: Session, study_id: int) -> bool:
    """Whether the study has a job that nobody has begun: it will read all that has arrived."""
    waits = exists().where(Job.study_id == study_id, Job.state == JobState.PENDING)
    return bool(session.scalar(select(waits)))


def settle(session: Session, study: Study, state: StudyState) -> None:
    """Set the study's state, unless instances that came meanwhile wait for their own job.

    Parameters
    ----------
    session : Session
        The database.
    study : Study
        Whose state it is.
    state : StudyState
        The new one.
    """
    if not job_waits(session, study.id):
        study.state = state


def settle_failed(
    session: Session, study: Study, reason: str, now: datetime, level: Level = Level.ALERT
) -> None:
    """Set the state of a study whose job failed, and say why there is no new draft.

    Parameters
    ----------
    session : Session
        The caller's transaction.
    study : Study
        Locked.
    reason : str
        What failed, for a person.
    now : datetime
        The moment, in UTC.
    level : Level
        How loud it is.
    """
    stands = Draft.is_current & Draft.retraction_path.is_(None)
    current = exists().where(Draft.study_id == study.id, stands)
    drafted = bool(session.scalar(select(current)))
    settle(session, study, StudyState.DRAFTED if drafted else StudyState.FAILED)
    message = f"no new draft: {reason}" if drafted else f"no draft: {reason}"
    add_event(session, Kind.FAILED, message, now=now, study_id=study.id, level=level)
