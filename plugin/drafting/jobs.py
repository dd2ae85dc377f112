"""Claiming jobs: which one is due, and who works on it; how a job ends is in `job_ends`.

A job is claimed by a lease that must be renewed. Every change of it is a compare-and-set on the
claim's own token, so a worker that was thought dead cannot end a job that another one has taken
over.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    ColumnExpressionArgument,
    CursorResult,
    Select,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.orm import Session, aliased

from dicom_io.errors import LeaseLost
from plugin.rules.urgency import Urgency
from plugin.state.clock import too_far
from plugin.state.completeness import is_complete, is_quiet, why_incomplete
from plugin.state.database import SessionFactory
from plugin.state.kinds import Kind
from plugin.state.pulse import this_process
from plugin.state.studies import job_waits, settle_failed
from plugin.state.tables import (
    Delivery,
    Draft,
    Instance,
    Job,
    JobState,
    Level,
    Study,
)
from plugin.state.tally import TALLY, Timed
from plugin.state.timeline import add_event, add_event_once
from plugin.state.watch import Watch

# Every so many claims of a worker the study that is due longest goes first, whatever its urgency:
# urgent ones wait for one draft at most, and the others get a quarter of the time at least
FAIR_TURN = 4
# Who comes first, in a fair turn and in all others; two indexes of waiting jobs have these columns
LONGEST_FIRST = (Job.deadline, Job.id)
URGENT_FIRST = (Job.urgency, *LONGEST_FIRST)
# As a literal: a parameter hides from the database that the indexes of waiting jobs are enough
_WAITS = Job.state == literal(JobState.PENDING, literal_execute=True)
_RUNS = Job.state == literal(JobState.RUNNING, literal_execute=True)
# A study that was postponed is looked at again four times an hour at least
LONGEST_PAUSE_S = 900.0


@dataclass(frozen=True)
class PreviousDraft:
    """The draft that is current while a job runs."""

    id: int
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    selected_digest: str
    revision: int
    written: datetime
    incomplete: str | None
    """What its input lacked, as it says."""
    retracted: bool
    """Whether it was taken back."""


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
    created_at: datetime
    hard_deadline: datetime
    paths: tuple[str, ...]
    """Relative to the spool; what the model may read, in the order of arrival."""
    previous: PreviousDraft | None
    """The current draft: if it read the same slices, there is no new one."""
    predecessor: PreviousDraft | None
    """The latest draft that reached a destination, which the new one takes the place of."""


def claim_job(
    sessions: SessionFactory, watch: Watch, *, attempts: int, now: datetime
) -> Claim | None:
    """Take the most urgent job, of these the one that is due longest; None if no study is complete.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    watch : Watch
        What the worker remembers of its looks before, and how long its claims last.
    attempts : int
        A job that was begun so often and never ended is given up.
    now : datetime
        The moment, in UTC.
    """
    while True:
        with sessions.begin() as session:
            dead = watch.look(session, now)
            due = session.execute(_abandoned(watch, now)).first()
            due = due or session.execute(_waiting(watch, dead, now)).first()
            if due is None:
                return None
            job, study, quiet = due
            if _superseded(session, job, now) or _given_up(session, study, job, attempts, now):
                continue
            if job.state == JobState.PENDING and job.attempts == 0:
                job.incomplete = why_incomplete(job, quiet)
            watch.claims += 1
            return _claim(session, study, job, watch.lease_s, now)


def due_in_s(sessions: SessionFactory, now: datetime) -> float:
    """In how many seconds the next waiting job may become due; infinity where none waits."""
    moments = (Job.deadline, Job.hard_deadline, Job.not_before)
    first = [select(func.min(one)).where(_WAITS, one > now).scalar_subquery() for one in moments]
    with sessions() as session:
        found = [one for one in session.execute(select(*first)).one() if one is not None]
    return min(((one - now).total_seconds() for one in found), default=inf)


def renew_lease(sessions: SessionFactory, claim: Claim, *, lease_s: float, now: datetime) -> None:
    """Extend the claim.

    Parameters
    ----------
    sessions : SessionFactory
        The database.
    claim : Claim
        The job, as it was claimed.
    lease_s : float
        How long it is ours from now on.
    now : datetime
        The moment that counts as now.

    Raises
    ------
    LeaseLost
        Another worker has the job.
    """
    with sessions.begin() as session:
        set_own(session, claim, lease_until=now + timedelta(seconds=lease_s))


def _waiting(watch: Watch, dead: Sequence[str], now: datetime) -> Select[Job, Study, bool]:
    """The first job of a complete study, and whether that is quiet."""
    longest_pause = timedelta(seconds=LONGEST_PAUSE_S)
    running = aliased(Job)
    in_work = exists().where(running.study_id == Job.study_id, running.state == JobState.RUNNING)
    paused_enough = or_(Job.not_before <= now, too_far(Job.not_before, now, longest_pause))
    complete = is_complete(now, watch.patience, dead)
    quiet = is_quiet(now, watch.patience, dead)
    order = LONGEST_FIRST if watch.claims % FAIR_TURN == FAIR_TURN - 1 else URGENT_FIRST
    return _first(order, _WAITS, paused_enough, ~in_work, complete, quiet=quiet)


def _abandoned(watch: Watch, now: datetime) -> Select[Job, Study, bool]:
    """The first job whose worker has died."""
    far = too_far(Job.lease_until, now, timedelta(seconds=watch.lease_s))
    return _first(URGENT_FIRST, _RUNS, or_(Job.lease_until < now, far))


def _first(
    order: Sequence[ColumnExpressionArgument[Any]],
    *conditions: ColumnElement[bool],
    quiet: ColumnElement[bool] | None = None,
) -> Select[Job, Study, bool]:
    """The first of some jobs and its study, both locked; those that others lock are passed over.

    One that somebody else changed meanwhile is looked at again before it is locked.
    """
    return (
        select(Job, Study, true() if quiet is None else quiet)
        .join(Job.study)
        .where(*conditions)
        .order_by(*order)
        .limit(1)
        .with_for_update(of=(Job, Study), skip_locked=True)
    )


def _superseded(session: Session, job: Job, now: datetime) -> bool:
    """Cancel an abandoned job if a newer one waits: that one reads everything."""
    if job.state != JobState.RUNNING or not job_waits(session, job.study_id):
        return False
    job.state = JobState.CANCELLED
    job.finished_at = now
    add_event(
        session,
        Kind.CANCELLED,
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
    settle_failed(session, study, reason, now)
    return True


def _claim(session: Session, study: Study, job: Job, lease_s: float, now: datetime) -> Claim:
    paths = paths_of(session, study.id)
    if job.state == JobState.PENDING and job.attempts == 0:
        message = f"revision {job.revision} begun: {len(paths)} instances"
        level = Level.WARNING if job.incomplete else Level.INFO
        if job.incomplete:
            message += f"; incomplete input: {job.incomplete}"
        # Whoever began it before may have said the same
        tell = add_event if job.worker is None else add_event_once
        tell(session, Kind.BEGUN, message, now=now, study_id=study.id, level=level)
    if job.state == JobState.RUNNING:  # its worker cannot say it any more
        died = f"attempt {job.attempts} ended with its worker, which died or was stopped; again"
        add_event(session, Kind.POSTPONED, died, now=now, study_id=study.id, level=Level.WARNING)
    job.state = JobState.RUNNING
    job.attempts += 1
    if job.begun_at is None:
        job.begun_at = now
        waited_s = (now - job.deadline).total_seconds()
        TALLY.observe(Timed.WAIT, waited_s, urgency=Urgency(job.urgency).word)
    job.worker = this_process()
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
        created_at=job.created_at,
        hard_deadline=job.hard_deadline,
        paths=paths,
        previous=_latest(session, study, job, Draft.is_current),
        predecessor=_latest(session, study, job, _REACHED | ~Draft.deliveries.any()),
    )


def paths_of(session: Session, study_id: int) -> tuple[str, ...]:
    """What of a study the model may read, in the order of arrival; relative to the spool."""
    paths = (
        select(Instance.path)
        .where(Instance.study_id == study_id, Instance.processed)
        .order_by(Instance.id)
    )
    return tuple(session.scalars(paths))


# Nobody can look up a draft that was superseded before it was sent. Without destinations the spool
# is where drafts go
_REACHED = Draft.deliveries.any((Delivery.sends > 0) | Delivery.proved_at.is_not(None))


def _latest(
    session: Session, study: Study, job: Job, wanted: ColumnExpressionArgument[bool]
) -> PreviousDraft | None:
    if job.revision == 1:  # nothing was drafted before
        return None
    drafts = select(Draft).where(Draft.study_id == study.id, wanted)
    draft = session.scalar(drafts.order_by(Draft.revision.desc()).limit(1))
    if draft is None:
        return None
    return PreviousDraft(
        draft.id,
        study.study_instance_uid,
        draft.series_instance_uid,
        draft.sop_instance_uid,
        draft.selected_digest,
        draft.revision,
        draft.created_at,
        draft.job.incomplete,
        draft.retraction_path is not None,
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
