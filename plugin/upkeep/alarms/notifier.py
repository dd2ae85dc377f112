"""The news of alarms on their way to a channel: each until the channel has taken it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from dicom_io.errors import PeerUnreachable
from plugin.state.clock import doubled
from plugin.state.database import SessionFactory
from plugin.state.tables import Study
from plugin.upkeep.alarms.channels import Channel, Message
from plugin.upkeep.alarms.tables import Alarm, Notice

FIRST_PAUSE_S, LONGEST_PAUSE_S = 30.0, 900.0
# Longer than a mail server takes with each of its answers: whoever claimed news has died
CLAIM_S = 300.0


@dataclass(frozen=True)
class Notifier:
    """Sends what is due to one channel.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    channel : Channel
        Who is told.
    source : str
        How the service names itself.
    accession_numbers : bool
        Whether they may leave.
    now : callable
        The clock.
    """

    sessions: SessionFactory
    channel: Channel
    source: str = "ctscribe"
    accession_numbers: bool = False
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def notify(self) -> None:
        """Send what is due, until nothing is or the channel takes no more.

        Raises
        ------
        PeerUnreachable
            The channel took no more; it is tried again after a pause.
        """
        while (claimed := self._claim()) is not None:
            notice_id, message = claimed
            try:
                self.channel.send(message)
            except PeerUnreachable as error:
                self._postpone(notice_id, str(error))
                raise
            self._record(notice_id, sent_at=self.now(), last_error=None)

    def _claim(self) -> tuple[int, Message] | None:
        now = self.now()
        with self.sessions.begin() as session:
            due = select(Notice).where(*self._unsent(), Notice.not_before <= now)
            oldest = due.order_by(Notice.id).limit(1).with_for_update(skip_locked=True)
            notice = session.scalar(oldest)
            if notice is None:
                return None
            notice.attempts += 1
            notice.not_before = now + timedelta(seconds=CLAIM_S)
            return notice.id, self._message(session, notice)

    def _message(self, session: Session, notice: Notice) -> Message:
        alarm = notice.alarm
        return Message(
            id=alarm.id,
            news=notice.news,
            cause=alarm.cause,
            urgent=alarm.urgent,
            count=alarm.count,
            message=alarm.message,
            first=alarm.first_at,
            last=alarm.over_at or alarm.last_at,
            studies=self._studies(session, alarm),
            source=self.source,
            key=f"{self.source}.alarm.{alarm.id}.{notice.id}",
        )

    def _studies(self, session: Session, alarm: Alarm) -> tuple[str, ...]:
        """Name studies by their keys, and by what else the settings let out."""
        if not self.accession_numbers:
            return tuple(f"study {key}" for key in alarm.studies)
        rows = session.execute(
            select(Study.id, Study.accession_number).where(Study.id.in_(alarm.studies))
        )
        known = {key: number for key, number in rows if number}
        return tuple(
            f"study {key} (accession number {known[key]})" if key in known else f"study {key}"
            for key in alarm.studies
        )

    def _postpone(self, notice_id: int, reason: str) -> None:
        """Leave the channel alone for a while: what else is due waits with this."""
        now = self.now()
        with self.sessions.begin() as session:
            notice = session.get(Notice, notice_id)
            if notice is None:  # the alarm is over: other news take its place
                return
            pause_s = doubled(FIRST_PAUSE_S, LONGEST_PAUSE_S, notice.attempts - 1)
            again = now + timedelta(seconds=pause_s)
            notice.not_before, notice.last_error = again, reason
            due = *self._unsent(), Notice.not_before <= now
            session.execute(update(Notice).where(*due).values(not_before=again))

    def _unsent(self) -> tuple[ColumnElement[bool], ...]:
        return Notice.channel == self.channel.name, Notice.sent_at.is_(None)

    def _record(self, notice_id: int, **values: object) -> None:
        with self.sessions.begin() as session:
            session.execute(update(Notice).where(Notice.id == notice_id).values(**values))
