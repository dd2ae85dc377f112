"""Alarms: one for each cause, with a count, until it is over; and the news of them to be sent.

All of it is rows. Whoever is killed between two of them leaves either none or both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, select, text
from sqlalchemy.orm import Session

from plugin.state.database import SessionFactory
from plugin.state.tables import Event
from plugin.upkeep.alarms.causes import (
    CHANNEL,
    STATES,
    URGENT,
    Finding,
    Look,
    cause_of,
    is_over,
    kind_of,
    named,
)
from plugin.upkeep.alarms.quiet_hours import QuietHours
from plugin.upkeep.alarms.tables import Alarm, News, Notice

# PostgreSQL: who counts. The number is arbitrary, and nobody else's
_LOCK = 7246913
# Events that are read at once; what is left waits for the next look
_AT_ONCE = 1000
# Alarms that are over are looked up when the next one of their cause comes
_KEPT = timedelta(days=365)
# Studies that an alarm names; the rest are counted
_NAMED = 10


@dataclass(frozen=True)
class Alarms:
    """Watches events and states, and keeps the alarms.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    looks : sequence of Look
        At the states that are alarms while they last.
    channels : sequence of str
        Names of those that are told.
    urgent : collection of str
        Kinds of causes that do not wait for the end of quiet hours.
    quiet : QuietHours, optional
        When only urgent alarms are sent.
    repeat : timedelta
        An alarm that grows is told again after so long.
    now : callable
        The clock.
    """

    sessions: SessionFactory
    looks: Sequence[Look] = ()
    channels: Sequence[str] = ()
    urgent: Collection[str] = URGENT
    quiet: QuietHours | None = None
    repeat: timedelta = timedelta(hours=6)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def look(self) -> None:
        """Count what happened since the last look, and end what is over, in one transaction."""
        now = self.now()
        with self.sessions.begin() as session:
            if session.get_bind().dialect.name == "postgresql":  # SQLite has one writer anyway
                session.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            self._count(session, now)
            seen = {one.cause: one for look in self.looks for one in look(session, now)}
            for finding in seen.values():
                self._see(session, finding, now)
            self._forget(session, now)
            for alarm in session.scalars(select(Alarm).where(Alarm.over_at.is_(None))).all():
                state = kind_of(alarm.cause) in STATES
                if alarm.cause not in seen if state else is_over(session, alarm, now):
                    self._end(session, alarm, now)

    def _forget(self, session: Session, now: datetime) -> None:
        """Delete what is over for so long that nobody asks any more."""
        old = select(Alarm.id).where(Alarm.over_at <= now - _KEPT)
        session.execute(delete(Notice).where(Notice.alarm_id.in_(old)))
        session.execute(delete(Alarm).where(Alarm.over_at <= now - _KEPT))

    def _count(self, session: Session, now: datetime) -> None:
        unnoticed = select(Event).where(Event.unnoticed).order_by(Event.id).limit(_AT_ONCE)
        by_cause = defaultdict(list)
        for event in session.scalars(unnoticed):
            event.unnoticed = False
            by_cause[cause_of(event)].append(event)
        for cause, events in by_cause.items():
            alarm = self._open(session, cause)
            if alarm is None:
                alarm = self._raise(session, cause, events[0].time, now)
            else:
                self._repeat(session, alarm, now)
            alarm.count += len(events)
            alarm.message, alarm.last_at = events[-1].message, events[-1].time
            studies = (*alarm.studies, *(e.study_id for e in events if e.study_id is not None))
            alarm.studies = list(dict.fromkeys(studies))[-_NAMED:]

    def _see(self, session: Session, finding: Finding, now: datetime) -> None:
        alarm = self._open(session, finding.cause) or self._raise(session, finding.cause, now, now)
        alarm.count = 1
        alarm.message, alarm.last_at = finding.message, now

    def _open(self, session: Session, cause: str) -> Alarm | None:
        is_open = Alarm.cause == cause[:128], Alarm.over_at.is_(None)
        return session.scalar(select(Alarm).where(*is_open))

    def _raise(self, session: Session, cause: str, first: datetime, now: datetime) -> Alarm:
        alarm = Alarm(
            cause=cause[:128],
            urgent=kind_of(cause) in self.urgent,
            count=0,
            message="",
            studies=[],
            first_at=first,
            last_at=first,
        )
        session.add(alarm)
        session.flush()
        self._tell(session, alarm, News.RAISED, now)
        return alarm

    def _repeat(self, session: Session, alarm: Alarm, now: datetime) -> None:
        """Have it told again, unless that was done of late, or is still to be done."""
        told = select(func.max(func.coalesce(Notice.sent_at, Notice.not_before)))
        latest = session.scalar(told.where(Notice.alarm_id == alarm.id))
        unsent = select(Notice.id).where(Notice.alarm_id == alarm.id, Notice.sent_at.is_(None))
        waits = session.scalar(unsent.limit(1))
        if latest is not None and waits is None and now - latest >= self.repeat:
            self._tell(session, alarm, News.REPEATED, now)

    def _end(self, session: Session, alarm: Alarm, now: datetime) -> None:
        """Tell that it is over; what nobody was told of it by then is part of that."""
        alarm.over_at = now
        unsent = Notice.alarm_id == alarm.id, Notice.sent_at.is_(None)
        session.execute(delete(Notice).where(*unsent))
        self._tell(session, alarm, News.OVER, now)

    def _tell(self, session: Session, alarm: Alarm, news: News, now: datetime) -> None:
        quiet_until = self.quiet.end_after(now) if self.quiet and not alarm.urgent else None
        for channel in self.channels:
            if alarm.cause != named(CHANNEL, channel):  # it cannot tell that of itself
                session.add(
                    Notice(
                        alarm_id=alarm.id, channel=channel, news=news, not_before=quiet_until or now
                    )
                )
