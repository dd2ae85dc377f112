"""What may be deleted, the oldest first: drafted, delivered and proved, and held by nobody.

A study is left alone while a job, an association or a delivery of it is open, while something that
came again is not compared, and while a person has to look after a delivery that failed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select
from sqlalchemy.orm import aliased

from plugin.state.kept.trials import Shadow, ShadowState
from plugin.state.tables import (
    Delivery,
    DeliveryState,
    Draft,
    Hold,
    Job,
    JobState,
    Quarantine,
    Removal,
    Study,
    Verdict,
)

Chosen = Select[Any, Any, Any]
"""Id of the row; its bytes, or the path of its file; how old it is."""

# The last slices of a study, or their new draft, may come so long after its first draft was proved
SETTLED = timedelta(hours=1)
UNDRAFTED = "without a draft"
HAS_IMAGES = or_(Study.image_bytes.is_(None), Study.image_bytes > 0)
_UNSETTLED = (DeliveryState.PENDING, DeliveryState.SENT, DeliveryState.FAILED)
_DONE = (DeliveryState.PROVED, DeliveryState.ACCEPTED)
_CURRENT = and_(Draft.study_id == Study.id, Draft.is_current)
_STANDING = and_(_CURRENT, Draft.retraction_path.is_(None))
_DRAFTED = exists().where(_CURRENT)  # a retracted draft may be made anew from the images
_delivered_at = (
    select(func.max(Delivery.proved_at))
    .join(Draft)
    .where(_STANDING, Delivery.state.in_(_DONE))
    .scalar_subquery()
)


def untouched(now: datetime) -> ColumnElement[bool]:
    """Whether nothing is going on with a study."""
    # Not the tables themselves: a rule may choose from these
    draft, again = aliased(Draft), aliased(Quarantine)
    unsettled = exists().where(Delivery.draft_id == draft.id, Delivery.state.in_(_UNSETTLED))
    to_compare = again.verdict.in_((Verdict.WAITING, Verdict.ASKED))
    open_jobs = Job.state.in_((JobState.PENDING, JobState.RUNNING))
    on_trial = exists().where(Shadow.draft_id == draft.id, Shadow.state == ShadowState.PENDING)
    return and_(
        Study.last_received_at <= now - SETTLED,
        ~exists().where(Job.study_id == Study.id, open_jobs),
        ~exists().where(Hold.study_id == Study.id),
        ~exists().where(again.study_id == Study.id, to_compare),
        ~exists().where(draft.study_id == Study.id, or_(unsettled, on_trial)),
    )


def images(now: datetime, before: datetime) -> Chosen:
    """Choose studies whose images have served their purpose; they are as old as the delivery.

    Parameters
    ----------
    now : datetime
        The moment, in UTC.
    before : datetime
        What is younger is not wanted.
    """
    chosen = select(Study.id, func.coalesce(Study.image_bytes, 0), _delivered_at)
    wanted = chosen.where(HAS_IMAGES, Study.last_received_at <= before, _delivered_at <= before)
    return wanted.where(untouched(now)).order_by(_delivered_at, Study.id)


def undrafted(now: datetime, before: datetime) -> Chosen:
    """Choose studies that have images, no draft, and no job that would make one; see `images`."""
    chosen = select(Study.id, func.coalesce(Study.image_bytes, 0), Study.last_received_at)
    wanted = chosen.where(HAS_IMAGES, Study.last_received_at <= before, ~_DRAFTED)
    return wanted.where(untouched(now)).order_by(Study.last_received_at, Study.id)


def drafts(now: datetime, before: datetime) -> Chosen:
    """Choose reports that were delivered, or superseded before they were; see `images`."""
    done = Draft.deliveries.any(Delivery.state.in_(_DONE))
    chosen = select(Draft.id, Draft.path, Draft.created_at).join(Study)
    wanted = chosen.where(Draft.path != "", Draft.created_at <= before, done | ~Draft.is_current)
    return wanted.where(untouched(now)).order_by(Draft.created_at, Draft.id)


def copies(now: datetime, before: datetime) -> Chosen:
    """Choose bytes that came again, and are the same or were replaced since; see `images`."""
    useless = Quarantine.verdict.in_((Verdict.SAME, Verdict.REPLACED))
    chosen = select(Quarantine.id, Quarantine.path, Quarantine.received_at)
    chosen = chosen.join(Study, Study.id == Quarantine.study_id)
    wanted = chosen.where(Quarantine.path != "", Quarantine.received_at <= before, useless)
    return wanted.where(untouched(now)).order_by(Quarantine.received_at, Quarantine.id)


def rows(now: datetime, before: datetime) -> Chosen:
    """Choose studies of which no file is left; see `images`."""
    lasting = exists().where(Draft.study_id == Study.id, Draft.path != "")
    leaving = exists().where(Removal.study_id == Study.id)
    chosen = select(Study.id, func.coalesce(Study.image_bytes, 0), Study.last_received_at)
    # The first moment is the one with an index
    wanted = chosen.where(Study.first_received_at <= before, Study.last_received_at <= before)
    left = wanted.where(Study.image_bytes == 0, ~lasting, ~leaving)
    return left.where(untouched(now)).order_by(Study.last_received_at, Study.id)


def kept_back(now: datetime) -> dict[str, ColumnElement[bool]]:
    """Return why studies keep their images, however old these are, with a condition for each."""
    ready = and_(untouched(now), _delivered_at.is_not(None))
    return {
        UNDRAFTED: and_(HAS_IMAGES, ~_DRAFTED),
        "not delivered, retracted, or in work": and_(HAS_IMAGES, _DRAFTED, ~ready),
    }


def uncounted(now: datetime) -> Select[int]:
    """Choose studies whose images nobody has counted since the last one came."""
    quiet = Study.last_received_at <= now - SETTLED
    return select(Study.id).where(Study.image_bytes.is_(None), quiet)


Choose = Callable[[datetime, datetime], Chosen]
