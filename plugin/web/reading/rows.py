"""Where each study stands for a reader, as the database tells it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TypeVar, TypeVarTuple

from sqlalchemy import ColumnElement, Select, and_, case, func, literal, or_, select
from sqlalchemy.orm import InstrumentedAttribute, aliased

from plugin.rules.urgency import Urgency
from plugin.state.kept.listings import Listing
from plugin.state.kept.reviews import Review, ReviewState
from plugin.state.tables import (
    Delivery,
    DeliveryState,
    Draft,
    DraftState,
    Job,
    JobState,
    Study,
    StudyState,
)


class State(StrEnum):
    """Where a study stands, from its first slice to a decision."""

    RECEIVING = "receiving"
    WAITING = "waiting"
    DRAFTING = "drafting"
    DRAFT = "draft"
    PARTIAL = "partial"
    ABSTAINED = "abstained"
    FAILED = "failed"
    LATER = "later"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    RETRACTED = "retracted"


UNDECIDED = frozenset(
    {State.RECEIVING, State.WAITING, State.DRAFTING, State.DRAFT, State.PARTIAL, State.LATER}
)
"""Somebody waits for these; all others are done with, or wait for a person to look after them."""

_DRAFTED = {
    DraftState.COMPLETE: State.DRAFT,
    DraftState.PARTIAL: State.PARTIAL,
    DraftState.ABSTAINED: State.ABSTAINED,
}
_UNDELIVERED = (DeliveryState.PENDING, DeliveryState.SENT, DeliveryState.FAILED)

T = TypeVarTuple("T")
V = TypeVar("V")

CURRENT = aliased(Draft, name="current_draft")


def urgency_of() -> ColumnElement[int]:
    """The urgency of a study's latest job."""
    return func.coalesce(_latest(Job.urgency), int(Urgency.ROUTINE))


def state_of(now: datetime) -> ColumnElement[str]:
    """Where a study stands at a moment.

    A decision holds for the draft that it was about; a new draft waits for a new one.
    """
    stands = and_(CURRENT.id.is_not(None), CURRENT.retraction_path.is_(None))
    decided = Review.state.in_((ReviewState.ACCEPTED, ReviewState.REJECTED))
    put_off = and_(
        Review.state == ReviewState.LATER, or_(Review.until.is_(None), Review.until > now)
    )
    drafted = [(CURRENT.state == have, literal(shown.value)) for have, shown in _DRAFTED.items()]
    with_draft = case((or_(decided, put_off), Review.state), *drafted)
    # What is asked of jobs is asked of the few studies only that come so far
    return case((stands, with_draft), else_=_without_draft(now))


def _without_draft(now: datetime) -> ColumnElement[str]:
    job, deadline = _latest(Job.state), _latest(Job.deadline)
    cases = [
        (job == JobState.RUNNING, State.DRAFTING),
        (and_(job == JobState.PENDING, deadline <= now), State.WAITING),
        (job == JobState.PENDING, State.RECEIVING),
        (CURRENT.retraction_path.is_not(None), State.RETRACTED),
        (Study.state == StudyState.FAILED, State.FAILED),
    ]
    told = [(when, literal(then.value)) for when, then in cases]
    return case(*told, else_=literal(State.RECEIVING.value))


def _latest(column: InstrumentedAttribute[V]) -> ColumnElement[V]:
    """Return a value of a study's latest job."""
    newest = select(column).where(Job.study_id == Study.id).order_by(Job.revision.desc()).limit(1)
    return newest.correlate(Study).scalar_subquery()


def joined(columns: Select[*T]) -> Select[*T]:
    """Join what belongs to each study: its current draft, that one's review, and its names."""
    about = and_(Review.study_id == Study.id, Review.draft_id == CURRENT.id)
    return (
        columns.select_from(Study)
        .outerjoin(CURRENT, and_(CURRENT.study_id == Study.id, CURRENT.is_current))
        .outerjoin(Review, about)
        .outerjoin(Listing, Listing.study_id == Study.id)
    )


def undelivered() -> ColumnElement[int]:
    """How many destinations lack the current draft, or what was accepted of it."""
    query = select(func.count()).where(
        Delivery.draft_id == CURRENT.id, Delivery.state.in_(_UNDELIVERED)
    )
    return query.correlate(CURRENT).scalar_subquery()
