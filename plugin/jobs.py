"""Jobs: which study is complete, who works on it, and how the work ends.

A job is claimed by a lease that must be renewed. Every end is a compare-and-set on the claim's own
token, so a worker that was thought dead cannot end a job that another one has taken over.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, Select, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from dicom_io.errors import LeaseLost
from plugin.database import SessionFactory
from plugin.events import add_event, add_event_once
from plugin.intake import lock_study, stale_before
from plugin.models import (
    Association,
    Delivery,
    DeliveryState,
    Draft,
    DraftState,
    Event,
    Instance,
    Job,
    JobState,
    Level,
    Study,
    StudyState,
)

FIRST_PAUSE_S = 15.0
LONGEST_PAUSE_S = 900.0
SPACE_PAUSE_S = 60.0
FIRST_ENGINE_PAUSE_S = 2.0


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


@dataclass(frozen=True)
class NewDraft:
    """A report whose SR lies fsynced in the spool."""

    sop_instance_uid: str
    series_instance_uid: str
    selected_digest: str
    state: DraftState
    path: str
    selection: tuple[str, ...] = ()
    """Which series was read and why each other one was not, a line each."""


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
        _set_own(session, claim, lease_until=now + timedelta(seconds=lease_s))


def finish_with_draft(
    sessions: SessionFactory,
    claim: Claim,
    draft: NewDraft,
    *,
    destinations: Mapping[str, str],
    now: datetime,
) -> None:
    """End the job with a draft, its predecessor no longer current, its deliveries due.

    Parameters
    ----------
    destinations : mapping of str to str
        Name and kind of every destination.

    Raises
    ------
    LeaseLost
        Another worker has the job; the draft is discarded.
    """
    with sessions.begin() as session:
        study = lock_study(session, claim.study_id)
        _set_own(session, claim, state=JobState.DONE, finished_at=now, error=None)
        current = session.scalar(select(Draft).where(Draft.study_id == study.id, Draft.is_current))
        if current is not None:
            current.is_current = False
            session.flush()
        row = Draft(
            study_id=study.id,
            job_id=claim.job_id,
            predecessor_id=None if current is None else current.id,
            revision=claim.revision,
            state=draft.state,
            is_current=True,
            sop_instance_uid=draft.sop_instance_uid,
            series_instance_uid=draft.series_instance_uid,
            path=draft.path,
            selected_digest=draft.selected_digest,
            created_at=now,
        )
        row.deliveries = [
            Delivery(
                destination=name, kind=kind, state=DeliveryState.PENDING, attempts=0, not_before=now
            )
            for name, kind in destinations.items()
        ]
        session.add(row)
        _settle(session, study, StudyState.DRAFTED)
        for line in draft.selection:
            add_event(session, "selected", line, now=now, study_id=study.id)
        add_event(
            session,
            "drafted",
            f"draft {claim.revision} written: {draft.state}",
            now=now,
            study_id=study.id,
            detail={"sop_instance_uid": draft.sop_instance_uid},
        )


def finish_unchanged(sessions: SessionFactory, claim: Claim, *, now: datetime) -> None:
    """End the job without a draft: what arrived does not change the series that was read."""
    with sessions.begin() as session:
        study = lock_study(session, claim.study_id)
        _set_own(session, claim, state=JobState.DONE, finished_at=now, error=None)
        _settle(session, study, StudyState.DRAFTED)
        add_event(
            session,
            "unchanged",
            "selection unchanged: the current draft stands",
            now=now,
            study_id=study.id,
        )


def fail_job(sessions: SessionFactory, claim: Claim, reason: str, *, now: datetime) -> None:
    """End the job for good; the reason is what a person reads."""
    with sessions.begin() as session:
        study = lock_study(session, claim.study_id)
        _set_own(session, claim, state=JobState.FAILED, finished_at=now, error=reason)
        _tell_failure(session, study, reason, now)


def retry_job(
    sessions: SessionFactory, claim: Claim, reason: str, *, attempts: int, now: datetime
) -> None:
    """Give the job back for a later attempt; the pause grows, and survives restarts."""
    if claim.attempt >= attempts:
        fail_job(sessions, claim, f"given up after {claim.attempt} attempts: {reason}", now=now)
        return
    pause_s = min(FIRST_PAUSE_S * 2 ** (claim.attempt - 1), LONGEST_PAUSE_S)
    _give_back(sessions, claim, reason, pause_s=pause_s, attempts=claim.attempt, now=now)


def wait_for_instances(
    sessions: SessionFactory, claim: Claim, missing: str, *, quiet: timedelta, now: datetime
) -> None:
    """Give the job back as if it had not been begun: more is to come.

    Parameters
    ----------
    missing : str
        What has not arrived, for the timeline.
    quiet : timedelta
        Look again after so long; the hard deadline is not moved.
    """
    with sessions.begin() as session:
        study = lock_study(session, claim.study_id)
        _release(session, claim, attempts=claim.attempt - 1, deadline=now + quiet)
        add_event_once(session, "missing", missing, now=now, study_id=study.id, level=Level.WARNING)


def wait_for_space(sessions: SessionFactory, claim: Claim, reason: str, *, now: datetime) -> None:
    """Give the job back for want of disk space: no attempt of the study's, however often."""
    _give_back(sessions, claim, reason, pause_s=SPACE_PAUSE_S, attempts=claim.attempt - 1, now=now)


def wait_for_engine(sessions: SessionFactory, claim: Claim, reason: str, *, now: datetime) -> None:
    """Give the job back while the engine is down: no attempt of the study's, however often.

    The pause grows all the same: should this study be what brings the engine down, others are
    drafted between its attempts.
    """
    with sessions() as session:
        doublings = min(_waits(session, claim), 16)  # weeks of waiting would overflow a float
    pause_s = min(FIRST_ENGINE_PAUSE_S * 2**doublings, LONGEST_PAUSE_S)
    attempts = claim.attempt - 1
    _give_back(sessions, claim, reason, "waiting", pause_s=pause_s, attempts=attempts, now=now)


def _waits(session: Session, claim: Claim) -> int:
    """Return how often this job has waited for the engine."""
    began = select(Job.created_at).where(Job.id == claim.job_id).scalar_subquery()
    waits = select(func.count()).where(
        Event.study_id == claim.study_id, Event.kind == "waiting", Event.time >= began
    )
    return session.scalar(waits) or 0


def _give_back(
    sessions: SessionFactory,
    claim: Claim,
    reason: str,
    kind: str = "postponed",
    *,
    pause_s: float,
    attempts: int,
    now: datetime,
) -> None:
    with sessions.begin() as session:
        study = lock_study(session, claim.study_id)
        not_before = now + timedelta(seconds=pause_s)
        _release(session, claim, attempts=attempts, error=reason, not_before=not_before)
        add_event(
            session,
            kind,
            f"tried again in {pause_s:.0f} s: {reason}",
            now=now,
            study_id=study.id,
            level=Level.WARNING,
        )


def _release(session: Session, claim: Claim, **values: Any) -> None:
    """Let another worker begin the job, unless a newer one waits: that one reads everything."""
    state = JobState.CANCELLED if _newer_pending(session, claim) else JobState.PENDING
    _set_own(session, claim, state=state, lease_owner=None, lease_until=None, **values)


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
    _tell_failure(session, study, reason, now)
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


def _set_own(session: Session, claim: Claim, **values: Any) -> None:
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


def _newer_pending(session: Session, claim: Claim) -> bool:
    newer = exists().where(Job.study_id == claim.study_id, Job.state == JobState.PENDING)
    return bool(session.scalar(select(newer)))


def _settle(session: Session, study: Study, state: StudyState) -> None:
    """Set the study's state, unless instances that came meanwhile wait for their own job."""
    waits = exists().where(Job.study_id == study.id, Job.state == JobState.PENDING)
    if not session.scalar(select(waits)):
        study.state = state


def _tell_failure(session: Session, study: Study, reason: str, now: datetime) -> None:
    current = exists().where(Draft.study_id == study.id, Draft.is_current)
    drafted = bool(session.scalar(select(current)))
    _settle(session, study, StudyState.DRAFTED if drafted else StudyState.FAILED)
    message = f"no new draft: {reason}" if drafted else f"no draft: {reason}"
    add_event(session, "failed", message, now=now, study_id=study.id, level=Level.ALERT)
