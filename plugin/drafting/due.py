"""Which job is due next. The statements are made once: that takes longer than to run them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import inf
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    ColumnExpressionArgument,
    Select,
    exists,
    func,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.orm import Session, aliased

from plugin.state.clock import CLOCK_SLACK, too_far
from plugin.state.completeness import IS_COMPLETE, IS_QUIET, NOW, moments
from plugin.state.database import SessionFactory
from plugin.state.tables import Job, JobState, Study
from plugin.state.watch import Watch

# Every so many claims of a worker the study that is due longest goes first, whatever its urgency:
# urgent ones wait for one draft at most, and the others get a quarter of the time at least
FAIR_TURN = 4
# Who comes first, in a fair turn and in all others; two indexes of waiting jobs have these columns
LONGEST_FIRST = (Job.deadline, Job.id)
URGENT_FIRST = (Job.urgency, *LONGEST_FIRST)
# A study that was postponed is looked at again four times an hour at least
LONGEST_PAUSE_S = 900.0


class DueJob(NamedTuple):
    """A job that is locked, and what a claim wants to know of it and its study."""

    job_id: int
    study_id: int
    study_instance_uid: str
    revision: int
    state: str
    forced: bool
    urgency: int
    attempts: int
    worker: str | None
    incomplete: str | None
    deadline: datetime
    hard_deadline: datetime
    created_at: datetime
    begun_at: datetime | None
    quiet: bool


_COLUMNS = (
    Job.id,
    Job.study_id,
    Study.study_instance_uid,
    Job.revision,
    Job.state,
    Job.forced,
    Job.urgency,
    Job.attempts,
    Job.worker,
    Job.incomplete,
    Job.deadline,
    Job.hard_deadline,
    Job.created_at,
    Job.begun_at,
)


def first_due(session: Session, watch: Watch, dead: Sequence[str], now: datetime) -> DueJob | None:
    """Lock the job that is due first, and its study; those that others lock are passed over.

    Parameters
    ----------
    session : Session
        The caller's transaction.
    watch : Watch
        What the worker remembers.
    dead : sequence of str
        Associations that hold nothing, because their receivers have died.
    now : datetime
        The moment, in UTC.
    """
    values = {
        **moments(now, watch.patience, dead),
        "far_pause": now + timedelta(seconds=LONGEST_PAUSE_S) + CLOCK_SLACK,
        "far_lease": now + timedelta(seconds=watch.lease_s) + CLOCK_SLACK,
    }
    waiting = _LONGEST_WAITING if watch.claims % FAIR_TURN == FAIR_TURN - 1 else _URGENT_WAITING
    row = session.execute(_ABANDONED, values).first() or session.execute(waiting, values).first()
    return None if row is None else DueJob(*row)


def due_in_s(sessions: SessionFactory, now: datetime) -> float:
    """In how many seconds the next waiting job may become due; infinity where none waits."""
    moments = (Job.deadline, Job.hard_deadline, Job.not_before)
    first = [select(func.min(one)).where(_WAITS, one > now).scalar_subquery() for one in moments]
    with sessions() as session:
        found = [one for one in session.execute(select(*first)).one() if one is not None]
    return min(((one - now).total_seconds() for one in found), default=inf)


def _state(wanted: JobState) -> ColumnElement[str]:
    """A state as a literal: a parameter hides that the indexes of such jobs are enough."""
    return literal_column(f"'{wanted}'")


def _first(
    order: Sequence[ColumnExpressionArgument[Any]],
    *conditions: ColumnElement[bool],
    quiet: ColumnElement[bool],
) -> Select[*tuple[Any, ...]]:
    """The first of some jobs and its study, both locked.

    One that somebody else changed meanwhile is looked at again before it is locked.
    """
    return (
        select(*_COLUMNS, quiet)
        .join(Job.study)
        .where(*conditions)
        .order_by(*order)
        .limit(literal_column("1"))
        .with_for_update(of=(Job, Study), skip_locked=True)
    )


def _first_waiting(order: Sequence[ColumnExpressionArgument[Any]]) -> Select[*tuple[Any, ...]]:
    """The first job of a complete study, and whether that is quiet."""
    running = aliased(Job)
    of_study = running.study_id == Job.study_id, running.state == _state(JobState.RUNNING)
    # Asked for as a value: PostgreSQL would make a join with all running jobs of a mere EXISTS
    in_work = select(exists().where(*of_study).correlate(Job)).scalar_subquery()
    paused_enough = or_(Job.not_before <= NOW, too_far(Job.not_before, "far_pause"))
    return _first(order, _WAITS, paused_enough, ~in_work, IS_COMPLETE, quiet=IS_QUIET)


_WAITS = Job.state == _state(JobState.PENDING)
_URGENT_WAITING = _first_waiting(URGENT_FIRST)
_LONGEST_WAITING = _first_waiting(LONGEST_FIRST)
# Their workers have died
_ABANDONED = _first(
    URGENT_FIRST,
    Job.state == _state(JobState.RUNNING),
    or_(Job.lease_until < NOW, too_far(Job.lease_until, "far_lease")),
    quiet=true(),
)
