"""The deliveries in the database: which one is due, and what became of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from plugin.state.clock import too_far
from plugin.state.database import SessionFactory
from plugin.state.tables import Delivery, DeliveryState, Draft, Level
from plugin.state.timeline import add_event

# A restart of the archive is over after the first pauses; a night's outage costs an attempt an hour
FIRST_PAUSE_S = 10.0
LONGEST_PAUSE_S = 3600.0
# Pauses differ by so much, so that what failed together does not come back together
JITTER = 0.2
# Whoever claimed a delivery and says nothing for so long has died: it falls due again.
# A C-STORE that reaches every limit takes 55 s (10 + 15 + 30)
CLAIM_S = 60.0
_LONGEST = timedelta(seconds=LONGEST_PAUSE_S * (1 + JITTER))
OPEN = (DeliveryState.PENDING, DeliveryState.SENT)


@dataclass(frozen=True)
class Due:
    """A claimed delivery.

    Parameters
    ----------
    delivery_id : int
        Its row.
    path : Path
        The file of the report object.
    sent : bool
        Whether only the proof is missing.
    attempts : int
        How many have failed since it was created, or since it was sent.
    """

    delivery_id: int
    path: Path
    sent: bool
    attempts: int


def utc_now() -> datetime:
    return datetime.now(UTC)


class Outbox:
    """The deliveries of one database; may be shared between threads and with other processes.

    Parameters
    ----------
    sessions : SessionFactory
        Of the database.
    spool : Path
        The folder that draft paths are relative to.
    now : callable
        The clock.
    """

    def __init__(
        self, sessions: SessionFactory, spool: Path, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._sessions = sessions
        self._spool = spool
        self._now = now

    def claim(self, destination: str) -> Due | None:
        """Take the delivery to a destination that has been due longest; None if there is none.

        No other process is given the same one for `CLAIM_S` seconds. Drafts that were superseded
        before they were sent are cancelled: the radiologist gets the newest only.
        """
        with self._sessions.begin() as session:
            self._cancel_superseded(session, destination)
            now = self._now()
            delivery = session.scalar(
                select(Delivery)
                .where(Delivery.destination == destination, Delivery.state.in_(OPEN))
                .where(or_(Delivery.not_before <= now, too_far(Delivery.not_before, now, _LONGEST)))
                .order_by(Delivery.not_before)
                .limit(1)
            )
            if delivery is None or not self._extend(session, delivery):
                return None
            return self._due(delivery)

    def record_sent(self, due: Due) -> Due:
        """Record that the destination has accepted the object; returns what is left to do."""
        with self._sessions.begin() as session:
            delivery = session.get_one(Delivery, due.delivery_id)
            if delivery.state == DeliveryState.PENDING:
                delivery.state = DeliveryState.SENT
                delivery.attempts = 0
                delivery.last_error = None
                self._tell(session, delivery, Level.INFO, "sent", f"sent to {delivery.destination}")
            delivery.not_before = self._now() + timedelta(seconds=CLAIM_S)
            return self._due(delivery)

    def record_proved(self, due: Due) -> None:
        """Record that the object was found again where it belongs."""
        with self._sessions.begin() as session:
            delivery = session.get_one(Delivery, due.delivery_id)
            if delivery.state == DeliveryState.PROVED:
                return
            delivery.state = DeliveryState.PROVED
            delivery.proved_at = self._now()
            delivery.last_error = None
            message = f"delivered to {delivery.destination} and proved"
            self._tell(session, delivery, Level.INFO, "delivered", message)

    def postpone(self, due: Due, reason: str, *, send_again: bool = False) -> None:
        """Record an attempt that failed and may succeed later: after 10 s, 20 s, … one hour.

        Parameters
        ----------
        due : Due
            The claim.
        reason : str
            What the timeline says; names no patient.
        send_again : bool
            Whether the object is sent again, instead of looked for again.
        """
        with self._sessions.begin() as session:
            delivery = session.get_one(Delivery, due.delivery_id)
            if delivery.state not in OPEN:
                return
            # Weeks of attempts would overflow a float
            pause = min(FIRST_PAUSE_S * 2 ** min(delivery.attempts, 16), LONGEST_PAUSE_S)
            pause *= random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  no secret
            delivery.attempts += 1
            delivery.not_before = self._now() + timedelta(seconds=pause)
            delivery.last_error = reason
            if send_again:
                delivery.state = DeliveryState.PENDING
            where = delivery.destination
            message = f"delivery to {where} is tried again in {pause:.0f} s: {reason}"
            self._tell(session, delivery, Level.WARNING, "delivery postponed", message)

    def fail(self, due: Due, reason: str) -> None:
        """Record a failure that needs a person; `requeue` tries again."""
        with self._sessions.begin() as session:
            delivery = session.get_one(Delivery, due.delivery_id)
            if delivery.state not in OPEN:
                return
            delivery.state = DeliveryState.FAILED
            delivery.attempts += 1
            delivery.last_error = reason
            message = f"delivery to {delivery.destination} failed: {reason}"
            self._tell(session, delivery, Level.ALERT, "delivery failed", message)

    def requeue(self, destination: str) -> int:
        """Make the failed deliveries of current drafts to a destination due; returns how many."""
        with self._sessions.begin() as session:
            failed = session.scalars(
                select(Delivery)
                .join(Draft)
                .where(Delivery.destination == destination, Draft.is_current)
                .where(Delivery.state == DeliveryState.FAILED)
            ).all()
            for delivery in failed:
                delivery.state = DeliveryState.PENDING
                delivery.attempts = 0
                delivery.not_before = self._now()
                message = f"queued again for {delivery.destination}"
                self._tell(session, delivery, Level.INFO, "delivery queued", message)
            return len(failed)

    def _due(self, delivery: Delivery) -> Due:
        sent = delivery.state == DeliveryState.SENT
        path = self._spool / delivery.draft.path
        return Due(delivery.id, path, sent, delivery.attempts)

    def _extend(self, session: Session, delivery: Delivery) -> bool:
        """Claim a row unless another process was quicker."""
        changed = session.execute(
            update(Delivery)
            .where(Delivery.id == delivery.id, Delivery.not_before == delivery.not_before)
            .values(not_before=self._now() + timedelta(seconds=CLAIM_S))
            .returning(Delivery.id)
            .execution_options(synchronize_session=False)
        )
        return changed.scalar_one_or_none() is not None

    def _cancel_superseded(self, session: Session, destination: str) -> None:
        superseded = session.scalars(
            select(Delivery)
            .join(Draft)
            .where(Delivery.destination == destination, ~Draft.is_current)
            .where(Delivery.state == DeliveryState.PENDING)
        )
        for delivery in superseded.all():
            delivery.state = DeliveryState.CANCELLED
            message = f"not sent to {delivery.destination}: superseded by a newer draft"
            self._tell(session, delivery, Level.INFO, "delivery cancelled", message)

    def _tell(
        self, session: Session, delivery: Delivery, level: Level, kind: str, message: str
    ) -> None:
        draft = delivery.draft
        text = f"draft {draft.revision}: {message}"
        add_event(session, kind, text, now=self._now(), study_id=draft.study_id, level=level)
