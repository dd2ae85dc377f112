"""Jobs: which study is complete, and who works on it; `drafting.job_ends` is how the work ends.

A job is claimed by a lease that must be renewed. Every change of it is a compare-and-set on the
claim's own token, so a worker that was thought dead cannot end a job that another one has taken
over.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, Select, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from dicom_io.errors import LeaseLost
from plugin.reception.intake import lock_study
from plugin.state.database import SessionFactory
from plugin.state.holds import stale_before
from plugin.state.tables import (
    Association,
    Draft,
    Instance,
    Job,
    JobState,
    Level,
    Study,
    StudyState,
)
from plugin.state.timeline import add_event, add_event_once


@dataclass(frozen=True)
class PreviousDraft:
    """The draft that is current while a job runs."""

    id: int
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    selected_digest: str


@dataclass(frozen=True)
class Claim:
    """A job that is ours until the lease ends."""

    job_id: int
    study_id: int
    study_instance_uid: str
    revision: int
    attempt: int
    token: str
    forced: bool
    incomplete: str | None
    hard_deadline: datetime
    paths: tuple[str, ...]
    """Relative to the spool; what the model may read, in the order of arrival."""
    previous: PreviousDraft | None


def claim_job(
    sessions: SessionFactory, *, lease_s: float, attempts: int, now: datetime
) -> Claim | None:
    """Take the job that has been due longest; None if no study is complete.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    lease_s : float
        How long the claim lasts unless it is renewed.
    attempts : int
        A job that was begun so often and never ended is given up.
    now : datetime
        The moment, in UTC.
    """
    while True:
        with sessions.begin() as session:
            job = session.scalar(_due(now))
            if job is None:
                return None
            study = lock_study(session, job.study_id)
            session.refresh(job)
            if not _still_due(job, now):
                continue
            if _superseded(session, job, now) or _given_up(session, study, job, attempts, now):
                continue
            return _claim(session, study, job, lease_s, now)


def renew_lease(sessions: SessionFactory, claim: Claim, *, lease_s: float, now: datetime) -> None:
    """Extend the claim.

    Raises
    ------
    LeaseLost
        Another worker has the job.
    """
    with sessions.begin() as session:
        set_own(session, claim, lease_until=now + timedelta(seconds=lease_s))


def _due(now: datetime) -> Select[Job]:
    """Choose among jobs of complete studies and jobs whose worker has died."""
    running = aliased(Job)
    held = exists().where(
        Association.study_id == Job.study_id, Association.heartbeat >= stale_before(now)
    )
    in_work = exists().where(running.study_id == Job.study_id, running.state == JobState.RUNNING)
    complete = or_(Job.hard_deadline <= now, and_(Job.deadline <= now, ~held))
    waiting = and_(Job.state == JobState.PENDING, Job.not_before <= now, complete, ~in_work)
    abandoned = and_(Job.state == JobState.RUNNING, Job.lease_until < now)
    return select(Job).where(or_(waiting, abandoned)).order_by(Job.deadline, Job.id).limit(1)


def _still_due(job: Job, now: datetime) -> bool:
    """Look again with the study locked: another worker may have been quicker."""
    if job.state == JobState.RUNNING:
        return job.lease_until is not None and job.lease_until < now
    return job.state == JobState.PENDING and min(job.deadline, job.hard_deadline) <= now


def _superseded(session: Session, job: Job, now: datetime) -> bool:
    """Cancel an abandoned job if a newer one waits: that one reads everything."""
    if job.state != JobState.RUNNING:
        return False
    newer = exists().where(Job.study_id == job.study_id, Job.state == JobState.PENDING)
    if not session.scalar(select(newer)):
        return False
    job.state = JobState.CANCELLED
    job.finished_at = now
    add_event(
        session,
        "cancelled",
        f"revision {job.revision} is superseded by a newer one",
        now=now,
        study_id=job.study_id,
    )
    return True


def _given_up(session: Session, study: Study, job: Job, attempts: int, now: datetime) -> bool:
    """Fail a job that was begun too often: the study may be what kills the workers."""
    if job.attempts < attempts:
        return False
    reason = f"given up: {job.attempts} attempts began and none ended"
    job.state, job.error, job.finished_at = JobState.FAILED, reason, now
    tell_failure(session, study, reason, now)
    return True


def _claim(session: Session, study: Study, job: Job, lease_s: float, now: datetime) -> Claim:
    paths = session.scalars(
        select(Instance.path)
        .where(Instance.study_id == study.id, Instance.processed)
        .order_by(Instance.id)
    ).all()
    if job.state == JobState.PENDING and job.attempts == 0:
        job.incomplete = _incomplete(session, job, now)
        message = f"revision {job.revision} begun: {len(paths)} instances"
        level = Level.WARNING if job.incomplete else Level.INFO
        if job.incomplete:
            message += f"; incomplete input: {job.incomplete}"
        add_event_once(session, "begun", message, now=now, study_id=study.id, level=level)
    job.state = JobState.RUNNING
    job.attempts += 1
    job.lease_owner = uuid.uuid4().hex
    job.lease_until = now + timedelta(seconds=lease_s)
    return Claim(
        job_id=job.id,
        study_id=study.id,
        study_instance_uid=study.study_instance_uid,
        revision=job.revision,
        attempt=job.attempts,
        token=job.lease_owner,
        forced=job.forced,
        incomplete=job.incomplete,
        hard_deadline=job.hard_deadline,
        paths=tuple(paths),
        previous=_previous(session, study),
    )


def _incomplete(session: Session, job: Job, now: datetime) -> str | None:
    """Say so if only the hard cap made the study due."""
    held = session.scalar(
        select(func.count())
        .select_from(Association)
        .where(Association.study_id == job.study_id, Association.heartbeat >= stale_before(now))
    )
    if job.deadline <= now and not held:
        return None
    waited = job.hard_deadline - job.created_at
    return f"instances were still arriving after {waited.total_seconds():.0f} s"


def _previous(session: Session, study: Study) -> PreviousDraft | None:
    draft = session.scalar(select(Draft).where(Draft.study_id == study.id, Draft.is_current))
    if draft is None:
        return None
    return PreviousDraft(
        draft.id,
        study.study_instance_uid,
        draft.series_instance_uid,
        draft.sop_instance_uid,
        draft.selected_digest,
    )


def set_own(session: Session, claim: Claim, **values: Any) -> None:
    """Change the claimed job.

    Raises
    ------
    LeaseLost
        Another worker has it.
    """
    changed = cast(
        CursorResult[Any],
        session.execute(
            update(Job)
            .where(
                Job.id == claim.job_id,
                Job.state == JobState.RUNNING,
                Job.lease_owner == claim.token,
            )
            .values(**values)
            .execution_options(synchronize_session=False)
        ),
    )
    if changed.rowcount != 1:
        raise LeaseLost(f"job {claim.job_id} was taken over by another worker")


def settle(session: Session, study: Study, state: StudyState) -> None:
    """Set the study's state, unless instances that came meanwhile wait for their own job."""
    waits = exists().where(Job.study_id == study.id, Job.state == JobState.PENDING)
    if not session.scalar(select(waits)):
        study.state = state


def tell_failure(session: Session, study: Study, reason: str, now: datetime) -> None:
    """Set the state of a study whose job failed, and say why there is no new draft."""
    current = exists().where(Draft.study_id == study.id, Draft.is_current)
    drafted = bool(session.scalar(select(current)))
    settle(session, study, StudyState.DRAFTED if drafted else StudyState.FAILED)
    message = f"no new draft: {reason}" if drafted else f"no draft: {reason}"
    add_event(session, "failed", message, now=now, study_id=study.id, level=Level.ALERT)
