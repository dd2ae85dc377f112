"""Claiming jobs: who works on which; what is due is in `due`, and how a job ends in `job_ends`.

A job is claimed by a lease that must be renewed. Every change of it is a compare-and-set on the
claim's own token, so a worker that was thought dead cannot end a job that another one has taken
over.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import ColumnExpressionArgument, CursorResult, bindparam, select, update
from sqlalchemy.orm import Session

from dicom_io.counted import counted
from dicom_io.errors import LeaseLost
from plugin.drafting.due import DueJob, first_due
from plugin.rules.urgency import Urgency
from plugin.state.completeness import why_incomplete
from plugin.state.database import SessionFactory
from plugin.state.kinds import Kind
from plugin.state.running.pulse import this_process
from plugin.state.studies import job_waits, settle_failed
from plugin.state.tables import Delivery, Draft, Instance, Job, JobState, Level, Study
from plugin.state.tally import TALLY, Timed
from plugin.state.timeline import add_event, add_event_once
from plugin.state.watch import Watch


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
            due = first_due(session, watch, watch.look(session, now), now)
            if due is None:
                return None
            if _superseded(session, due, now) or _given_up(session, due, attempts, now):
                continue
            if _is_new(due):
                why = why_incomplete(due.hard_deadline, due.created_at, due.quiet)
                due = due._replace(incomplete=why)
            watch.claims += 1
            return _claim(session, due, watch.lease_s, now)


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


def _is_new(due: DueJob) -> bool:
    return due.state == JobState.PENDING and due.attempts == 0


def _superseded(session: Session, due: DueJob, now: datetime) -> bool:
    """Cancel an abandoned job if a newer one waits: that one reads everything."""
    if due.state != JobState.RUNNING or not job_waits(session, due.study_id):
        return False
    job = session.get_one(Job, due.job_id)
    job.state = JobState.CANCELLED
    job.finished_at = now
    message = f"revision {job.revision} is superseded by a newer one"
    add_event(session, Kind.CANCELLED, message, now=now, study_id=due.study_id)
    return True


def _given_up(session: Session, due: DueJob, attempts: int, now: datetime) -> bool:
    """Fail a job that was begun too often: the study may be what kills the workers."""
    if due.attempts < attempts:
        return False
    reason = f"given up: {counted(due.attempts, 'attempt')} began and none ended"
    job = session.get_one(Job, due.job_id)
    job.state, job.error, job.finished_at = JobState.FAILED, reason, now
    settle_failed(session, session.get_one(Study, due.study_id), reason, now)
    return True


def _claim(session: Session, due: DueJob, lease_s: float, now: datetime) -> Claim:
    paths = paths_of(session, due.study_id)
    _tell(session, due, len(paths), now)
    if due.begun_at is None:
        waited_s = (now - due.deadline).total_seconds()
        TALLY.observe(Timed.WAIT, waited_s, urgency=Urgency(due.urgency).word)
    token = uuid.uuid4().hex
    values = {
        "attempts": due.attempts + 1,
        "incomplete": due.incomplete,
        "begun_at": due.begun_at or now,
        "worker": this_process(),
        "lease_owner": token,
        "lease_until": now + timedelta(seconds=lease_s),
    }
    session.connection().execute(_BEGIN, {"job": due.job_id, **values})
    return Claim(
        job_id=due.job_id,
        study_id=due.study_id,
        study_instance_uid=due.study_instance_uid,
        revision=due.revision,
        attempt=due.attempts + 1,
        token=token,
        forced=due.forced,
        incomplete=due.incomplete,
        created_at=due.created_at,
        hard_deadline=due.hard_deadline,
        paths=paths,
        previous=_latest(session, due, Draft.is_current),
        predecessor=_latest(session, due, _REACHED | ~Draft.deliveries.any()),
    )


# A statement that is made once, as those of `due` are
_JOBS = Job.metadata.tables["jobs"]
_SET = ("attempts", "incomplete", "begun_at", "worker", "lease_owner", "lease_until")
_BEGIN = (
    update(_JOBS)
    .where(_JOBS.c.id == bindparam("job"))
    .values(state=JobState.RUNNING, **{name: bindparam(name) for name in _SET})
)


def _tell(session: Session, due: DueJob, instances: int, now: datetime) -> None:
    """Say in the timeline that a job is begun, or begun again."""
    if _is_new(due):
        message = f"revision {due.revision} begun: {counted(instances, 'instance')}"
        level = Level.WARNING if due.incomplete else Level.INFO
        if due.incomplete:
            message += f"; incomplete input: {due.incomplete}"
        # Whoever began it before may have said the same
        tell = add_event if due.worker is None else add_event_once
        tell(session, Kind.BEGUN, message, now=now, study_id=due.study_id, level=level)
    if due.state == JobState.RUNNING:  # its worker cannot say it any more
        died = f"attempt {due.attempts} ended with its worker, which died or was stopped; again"
        level = Level.WARNING
        add_event(session, Kind.POSTPONED, died, now=now, study_id=due.study_id, level=level)


def paths_of(session: Session, study_id: int) -> tuple[str, ...]:
    """What of a study the model may read, in the order of arrival; relative to the spool."""
    return tuple(session.scalars(_PATHS, {"study": study_id}))


_PATHS = (
    select(Instance.path)
    .where(Instance.study_id == bindparam("study"), Instance.processed)
    .order_by(Instance.id)
)


# Nobody can look up a draft that was superseded before it was sent. Without destinations the spool
# is where drafts go
_REACHED = Draft.deliveries.any((Delivery.sends > 0) | Delivery.proved_at.is_not(None))


def _latest(
    session: Session, due: DueJob, wanted: ColumnExpressionArgument[bool]
) -> PreviousDraft | None:
    if due.revision == 1:  # nothing was drafted before
        return None
    drafts = select(Draft).where(Draft.study_id == due.study_id, wanted)
    draft = session.scalar(drafts.order_by(Draft.revision.desc()).limit(1))
    if draft is None:
        return None
    return PreviousDraft(
        draft.id,
        due.study_instance_uid,
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
