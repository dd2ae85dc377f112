"""Figures of the present, as the database knows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from plugin.rules.urgency import Urgency
from plugin.state.kinds import Kind
from plugin.state.tables import Delivery, DeliveryState, Draft, Event, Job, JobState, Study
from plugin.upkeep.drift import mean_drift
from plugin.upkeep.keeping.candidates import HAS_IMAGES

Values = Iterable[tuple[Sequence[str], float]]
Figure = Callable[[Session, datetime], Values]
_OPEN = (DeliveryState.PENDING, DeliveryState.SENT)


def jobs(session: Session, now: datetime) -> Values:
    """Jobs that are not done: collecting slices, postponed, due, or running; every urgency."""
    counts = {(state, one): 0 for state in _JOB_STATES for one in Urgency}
    unended = Job.state.in_((JobState.PENDING, JobState.RUNNING))
    columns = select(Job.state, Job.urgency, Job.deadline, Job.not_before, func.count())
    grouped = columns.group_by(Job.state, Job.urgency, Job.deadline, Job.not_before)
    for state, urgency, deadline, not_before, count in session.execute(grouped.where(unended)):
        counts[_shown(state, deadline, not_before, now), Urgency(urgency)] += count
    return [((state, one.word), value) for (state, one), value in counts.items()]


_JOB_STATES = ("collecting", "postponed", "due", "running")


def _shown(state: str, deadline: datetime, not_before: datetime, now: datetime) -> str:
    if state == JobState.RUNNING:
        return "running"
    if deadline > now:
        return "collecting"
    return "postponed" if not_before > now else "due"


def oldest_due_job(session: Session, now: datetime) -> Values:
    """How long the oldest study has been complete without being begun; 0 where none waits."""
    waiting = select(Job.urgency, func.min(Job.deadline)).where(Job.state == JobState.PENDING)
    found = session.execute(waiting.where(Job.deadline <= now).group_by(Job.urgency)).all()
    since = {Urgency(urgency): deadline for urgency, deadline in found}
    return [
        ((one.word,), (now - since[one]).total_seconds() if one in since else 0) for one in Urgency
    ]


def open_deliveries(session: Session, _: datetime) -> Values:
    """Deliveries that wait, are to be proved, or failed."""
    wanted = Delivery.state.in_((*_OPEN, DeliveryState.FAILED))
    rows = select(Delivery.destination, Delivery.state).where(wanted)
    counts = Counter(tuple(row) for row in session.execute(rows))
    return [((destination, state), n) for (destination, state), n in sorted(counts.items())]


def oldest_delivery(session: Session, now: datetime) -> Values:
    """Age of the oldest draft that is not delivered."""
    oldest = select(Delivery.destination, func.min(Draft.created_at)).join(Draft)
    grouped = oldest.where(Delivery.state.in_(_OPEN)).group_by(Delivery.destination)
    return [
        ((destination,), max(0.0, (now - since).total_seconds()))
        for destination, since in session.execute(grouped)
    ]


def images_bytes(session: Session, _: datetime) -> Values:
    """What images take on the disk; those of the last hour are not counted yet."""
    size = session.scalar(select(func.sum(Study.image_bytes)).where(HAS_IMAGES))
    return [((), float(size or 0))]


def engine_up(session: Session, _: datetime) -> Values:
    """Nothing before the first word of an engine."""
    event = _engine_event(session)
    return [] if event is None else [((), float(event.kind != Kind.ENGINE_DOWN))]


def drift(session: Session, _: datetime) -> Values:
    """Nothing before enough drafts stand on one calibration."""
    mean = mean_drift(session)
    return [] if mean is None else [((), mean)]


def model(session: Session, _: datetime) -> Values:
    """Name and digest of the model, as the engine last gave them."""
    event = _engine_event(session)
    detail = {} if event is None or event.detail is None else event.detail
    if "digest" not in detail:
        return []
    return [((str(detail.get("model", "")), str(detail["digest"])), 1)]


def _engine_event(session: Session) -> Event | None:
    about = Event.kind.in_((Kind.ENGINE_UP, Kind.ENGINE_DOWN, Kind.MODEL_CHANGED))
    # The service's own events are few, and found by the index
    own = select(Event).where(Event.study_id.is_(None), about)
    return session.scalar(own.order_by(Event.id.desc()).limit(1))
