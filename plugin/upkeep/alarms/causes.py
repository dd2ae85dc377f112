"""What is an alarm: events that are alerts, and states of the service that want a person."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from dicom_io.counted import counted
from plugin.state.audit import AuditForwarding
from plugin.state.kinds import Kind
from plugin.state.running.pulse import processes
from plugin.state.tables import Delivery, DeliveryState, Draft, Event, Job, JobState
from plugin.upkeep.alarms.tables import Alarm, Notice
from plugin.upkeep.drift import DRAFTS, DRIFTED, SETTLED, mean_drift

# What happens, and is no state, is over once it has not happened for so long
CALM = timedelta(hours=1)
# One lost attempt is no outage
_ATTEMPTS = 2
DISK, PROCESS, AWAY, WAITING = "disk", "process", "away", "waiting"
REPOSITORY, CHANNEL, DRIFT = "repository", "channel", "drift"
STATES = (DISK, PROCESS, AWAY, WAITING, REPOSITORY, CHANNEL, DRIFT)
"""Causes that are looked at, and are over when they are not seen any more."""
URGENT = (
    *(Kind.REFUSED, Kind.NOT_RECORDED, Kind.RETRACTED, Kind.DISK_FILLING),
    *(DISK, PROCESS),
)
"""Images are at risk, or a draft stands under a wrong name: that does not wait until morning."""
_ENDED_BY: dict[str, tuple[Kind, ...]] = {
    Kind.ENGINE_DOWN: (Kind.ENGINE_UP, Kind.MODEL_CHANGED),
    Kind.RULES_REFUSED: (Kind.RULES_CHANGED,),
    Kind.DISK_FILLING: (Kind.DISK_EASED,),
    Kind.CLOCK_WRONG: (Kind.CLOCK_RIGHT,),
}
"""Kinds that are over with an event of another kind."""
_OPEN = (DeliveryState.PENDING, DeliveryState.SENT)


@dataclass(frozen=True)
class Finding:
    """A state that wants a person.

    Parameters
    ----------
    cause : str
        One of `STATES`, with what it is about: `away: pacs`.
    message : str
        For a person; without a patient's identity.
    """

    cause: str
    message: str


Look = Callable[[Session, datetime], Iterable[Finding]]


def named(kind: str, subject: str = "") -> str:
    """Return a cause: its kind, and what it is about."""
    return f"{kind}: {subject}" if subject else kind


def kind_of(cause: str) -> str:
    """Return the kind of a cause, by which it is urgent, and documented."""
    return cause.partition(": ")[0]


def cause_of(event: Event) -> str:
    """Return the cause of an event that is an alert."""
    subject = (event.detail or {}).get("destination", "")
    return named(event.kind, subject if event.kind == Kind.DELIVERY_FAILED else "")


def is_over(session: Session, alarm: Alarm, now: datetime) -> bool:
    """Whether the cause of an alarm that came from events has gone.

    Parameters
    ----------
    session : Session
        Of the service's database.
    alarm : Alarm
        Open.
    now : datetime
        The moment, in UTC.
    """
    kind, _, subject = alarm.cause.partition(": ")
    if ends := _ENDED_BY.get(kind):
        about = Event.kind.in_((kind, *ends))
        latest = select(Event.kind).where(about).order_by(Event.id.desc()).limit(1)
        return session.scalar(latest) != kind
    if kind == Kind.DELIVERY_FAILED and subject:
        at = Delivery.destination == subject, Delivery.state == DeliveryState.FAILED
        of_current = (
            Delivery.draft_id == Draft.id,
            Draft.is_current | Delivery.retracts | Delivery.final_id.is_not(None),
        )
        return not session.scalar(select(exists().where(*at, *of_current)))
    return now - alarm.last_at >= CALM


def spool_states(spool: Path, floor_bytes: int) -> Look:
    """Look at the spool's disk, and at the processes that lock files there."""

    def look(_session: Session, _now: datetime) -> Iterator[Finding]:
        free = shutil.disk_usage(spool).free
        if free < floor_bytes:
            message = f"{free >> 20} MB are free, the floor is {floor_bytes >> 20} MB"
            yield Finding(DISK, f"{message}: slices are refused")
        for one in processes(spool):
            if one.state != "alive":
                yield Finding(named(PROCESS, f"{one.part} on {one.host}"), str(one))

    return look


def late_states(late: timedelta) -> Look:
    """Look for drafts and studies that are due for too long, and for repositories that are away."""

    def look(session: Session, now: datetime) -> Iterator[Finding]:
        away = (
            select(Delivery.destination, func.count())
            .join(Draft)
            .where(Delivery.away, Delivery.state.in_(_OPEN), Draft.created_at <= now - late)
        )
        for destination, count in session.execute(away.group_by(Delivery.destination)):
            wait = counted(count, "draft waits", "drafts wait")
            yield Finding(named(AWAY, destination), f"{destination} does not answer, {wait}")
        due = Job.state == JobState.PENDING, Job.deadline <= now - late
        waiting = session.scalar(select(func.count()).where(*due, Job.not_before <= now - late))
        if waiting:
            due_now = counted(waiting, "study is", "studies are")
            yield Finding(WAITING, f"{due_now} due, and no worker has begun to draft")
        silent = AuditForwarding.away_since <= now - late
        for at in session.scalars(select(AuditForwarding).where(silent)):
            message = f"{at.repository} takes no audit messages: {at.last_error}"
            yield Finding(named(REPOSITORY, at.repository), message)

    return look


def drift_states(session: Session, _now: datetime) -> Iterator[Finding]:
    """Look whether the confidence of late drafts is still what it was calibrated to be."""
    mean = mean_drift(session)
    is_open = exists().where(Alarm.cause == DRIFT, Alarm.over_at.is_(None))
    limit = SETTLED if session.scalar(select(is_open)) else DRIFTED
    if mean is not None and abs(mean) > limit:
        less = "less" if mean > 0 else "more"
        late = counted(DRAFTS, "draft")
        yield Finding(
            DRIFT,
            f"the model is {less} sure of the last {late} than of the studies that it "
            f"was calibrated on (drift {mean:+.2f}): its three words may no longer hold",
        )


def channel_states(session: Session, _now: datetime) -> Iterator[Finding]:
    """Look for channels that take no alarms."""
    unsent = Notice.sent_at.is_(None), Notice.attempts >= _ATTEMPTS
    failing = select(Notice.channel, func.max(Notice.last_error)).where(*unsent)
    for channel, error in session.execute(failing.group_by(Notice.channel)):
        yield Finding(named(CHANNEL, channel), f"{channel} takes no alarms: {error}")
