"""The deliveries in the database: which one is due, and what became of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import bindparam, exists, literal_column, or_, select, update
from sqlalchemy.orm import Session, contains_eager

from plugin.delivery.destinations import CLAIM_S
from plugin.delivery.told import sent, tell
from plugin.state import audit
from plugin.state.audit import (
    Action,
    Entry,
    Outcome,
    Who,
    this_process,
)
from plugin.state.clock import CLOCK_SLACK, doubled, now_of, too_far
from plugin.state.database import SessionFactory
from plugin.state.kept.beside import paths_beside
from plugin.state.kept.commitments import begin_commitment, is_committed
from plugin.state.kept.orders import order_of
from plugin.state.kinds import Kind
from plugin.state.tables import Delivery, DeliveryState, Draft, Level, Quarantine, Verdict

# A restart of the archive is over after the first pauses; a night's outage costs an attempt an hour
FIRST_PAUSE_S = 10.0
LONGEST_PAUSE_S = 3600.0
# Pauses differ by so much, so that what failed together does not come back together
JITTER = 0.2
# Farther ahead no delivery is put off
_FAR = timedelta(seconds=LONGEST_PAUSE_S * (1 + JITTER)) + CLOCK_SLACK
# An archive may take an object in some time before it shows it: with the pauses above it is sent
# again after five minutes (10 + 20 + 40 + 80 + 160 s), and three times in all: whatever makes the
# archive hide it then is not cured by another copy
LOOKS_BEFORE_SENDING_AGAIN = 5
MOST_SENDS = 3
NEVER_FOUND = (
    "accepted {sends} times and never found. Look in the archive for a folder of unverified or "
    "unmatched objects, for a rule that drops or hides reports, and for this series with another "
    "SOP Instance UID"
)
OPEN = (DeliveryState.PENDING, DeliveryState.SENT)
DONE = (DeliveryState.PROVED, DeliveryState.ACCEPTED)


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
    retried : bool
        Whether something was tried before: the object may be there already.
    forms : tuple of str, optional
        In which the archive gets it, the best first; None is the destination's own.
    beside : tuple of Path
        The files of what stands beside it.
    """

    delivery_id: int
    path: Path
    sent: bool
    retried: bool
    forms: tuple[str, ...] | None = None
    beside: tuple[Path, ...] = ()


# The draft's study is not compared with what came again of it, which may name another patient
_IS_BEING_CORRECTED = exists().where(
    Draft.id == Delivery.draft_id,
    Quarantine.study_id == Draft.study_id,
    Quarantine.verdict.in_([Verdict.WAITING, Verdict.ASKED]),
)
# The delivery that has been due longest, locked; those that others lock are passed over. A
# statement is made once, which takes longer than to run it; what is open stands in it as literals:
# parameters hide from the database that the index of open deliveries is enough, and one row wanted
_FIRST_DUE = (
    select(Delivery)
    .join(Delivery.draft)
    .join(Draft.job)
    .join(Draft.study)
    .options(
        contains_eager(Delivery.draft).options(
            contains_eager(Draft.job), contains_eager(Draft.study)
        )
    )
    .where(
        Delivery.destination == bindparam("destination"),
        Delivery.state.in_([literal_column(f"'{state}'") for state in OPEN]),
        or_(
            Delivery.not_before <= bindparam("now", type_=Delivery.not_before.type),
            too_far(Delivery.not_before, "far"),
        ),
        or_(Delivery.retracts, ~_IS_BEING_CORRECTED),
    )
    .order_by(Delivery.not_before)
    .limit(literal_column("1"))
    .with_for_update(of=Delivery, skip_locked=True)
)


def _why_unwanted(delivery: Delivery, now: datetime) -> tuple[Level, str] | None:
    """Why what has not been sent is sent no more, and how loud that is; None where it is sent."""
    if delivery.retracts or delivery.state != DeliveryState.PENDING:
        return None
    if delivery.final is not None:
        newer = not delivery.final.is_current
        return (Level.INFO, "superseded by a newer report") if newer else None
    if not delivery.draft.is_current:
        return Level.INFO, "superseded by a newer draft"
    until = delivery.draft.job.wanted_until
    # What was tried before may have arrived already
    if until is not None and until < now and delivery.attempts == 0:
        return Level.WARNING, "nobody wants it so late"
    return None


class Outbox:
    """The deliveries of one database; may be shared between threads and with other processes.

    Parameters
    ----------
    sessions : SessionFactory
        Of the database.
    spool : Path
        The folder that draft paths are relative to.
    now : callable
        The clock, asked in a transaction.
    drop_reported : bool
        Whether a draft is sent no more once a RIS has told of a final report.
    """

    def __init__(
        self,
        sessions: SessionFactory,
        spool: Path,
        now: Callable[[Session], datetime] = now_of,
        *,
        drop_reported: bool = False,
    ) -> None:
        self._drop_reported = drop_reported
        self._sessions = sessions
        self._spool = spool
        self._now = now

    def claim(self, destination: str, claim_s: float = CLAIM_S) -> Due | None:
        """Take the delivery to a destination that has been due longest; None if there is none.

        No other process is given the same one for `claim_s` seconds. Drafts that were superseded
        before they were sent are cancelled: the radiologist gets the newest only.
        """
        with self._sessions.begin() as session:
            now = self._now(session)
            values = {"destination": destination, "now": now, "far": now + _FAR}
            while (delivery := session.scalar(_FIRST_DUE, values)) is not None:
                unwanted = _why_unwanted(delivery, now) or self._reported(session, delivery)
                if unwanted is not None:
                    level, why = unwanted
                    delivery.state = DeliveryState.CANCELLED
                    message = f"not sent to {delivery.destination}: {why}"
                    self._tell(session, delivery, level, Kind.DELIVERY_CANCELLED, message)
                    continue
                delivery.not_before = now + timedelta(seconds=claim_s)
                delivery.attempts += 1
                delivery.away = False
                if delivery.state == DeliveryState.PENDING and delivery.attempts == 1:
                    self._audit(session, delivery, Action.SENDING)
                return self._due(delivery)
        return None

    def _reported(self, session: Session, delivery: Delivery) -> tuple[Level, str] | None:
        """Why a draft that was never tried comes too late; what somebody asked for is sent."""
        first = delivery.state == DeliveryState.PENDING and delivery.attempts == 0
        forced = delivery.retracts or delivery.final is not None or delivery.draft.job.forced
        if not (self._drop_reported and first) or forced:
            return None
        order = order_of(session, delivery.draft.study)
        if order is None or order.reported_at is None:
            return None
        return Level.INFO, "a final report of the study was told by HL7"

    def record_sent(self, due: Due, claim_s: float = CLAIM_S) -> Due:
        """Record that the destination has accepted the object; returns what is left to do."""
        with self._sessions.begin() as session:
            delivery = session.get_one(Delivery, due.delivery_id)
            if delivery.state == DeliveryState.PENDING:
                delivery.state = DeliveryState.SENT
                delivery.sends += 1
                delivery.sent_at = delivery.sent_at or self._now(session)
                delivery.attempts = 1
                delivery.misses = delivery.refusals = 0
                delivery.last_error = None
                message = f"sent to {delivery.destination}"
                self._tell(session, delivery, Level.INFO, Kind.SENT, message)
                self._audit(session, delivery, Action.SENT)
            delivery.not_before = self._now(session) + timedelta(seconds=claim_s)
            self._release(session, delivery.destination)
            return self._due(delivery)

    def record_proved(self, due: Due, note: str = "") -> None:
        """Record that the object was found again where it belongs.

        Parameters
        ----------
        due : Due
            The claim.
        note : str
            What somebody should look at all the same.
        """
        self._end(due, DeliveryState.PROVED, "and proved", note)

    def record_accepted(self, due: Due) -> None:
        """Record that the destination has taken the object, of which it owes no proof."""
        self._end(due, DeliveryState.ACCEPTED, "and not proved, as the settings say", "")

    def record_missing(self, due: Due, within_s: float) -> None:
        """Record that an accepted object was looked for in vain: it ends proved or with an alert.

        Parameters
        ----------
        due : Due
            The claim.
        within_s : float
            How long after the first acceptance an archive may take to show it.
        """
        with self._sessions.begin() as session:
            delivery = session.get_one(Delivery, due.delivery_id)
            if delivery.state not in OPEN:
                return
            delivery.misses += 1
            due_again = delivery.misses >= LOOKS_BEFORE_SENDING_AGAIN
            waited = self._now(session) - (delivery.sent_at or self._now(session))
            late = waited >= timedelta(seconds=within_s)
            if delivery.sends >= MOST_SENDS and due_again and late:
                self._fail(session, delivery, NEVER_FOUND.format(sends=delivery.sends))
                return
            if due_again and delivery.sends < MOST_SENDS:
                delivery.state = DeliveryState.PENDING
            self._postpone(session, delivery, "stored, but not yet found again")

    def postpone(self, due: Due, reason: str) -> None:
        """Record that the destination does not answer: it is tried after 10 s, 20 s, … one hour.

        Parameters
        ----------
        due : Due
            The claim.
        reason : str
            What the timeline says; names no patient.
        """
        with self._sessions.begin() as session:
            delivery = session.get_one(Delivery, due.delivery_id)
            if delivery.state in OPEN:
                delivery.away = True
                self._postpone(session, delivery, reason)

    def refuse(self, due: Due, reason: str, tries: int) -> None:
        """Record a refusal that may pass, until there were too many.

        Parameters
        ----------
        due : Due
            The claim.
        reason : str
            What the timeline says; names no patient.
        tries : int
            The delivery fails with the refusal of this number.
        """
        with self._sessions.begin() as session:
            delivery = session.get_one(Delivery, due.delivery_id)
            if delivery.state not in OPEN:
                return
            delivery.refusals += 1
            if delivery.refusals >= tries:
                self._fail(session, delivery, reason)
            else:
                self._postpone(session, delivery, reason)

    def fail(self, due: Due, reason: str) -> None:
        """Record a failure that needs a person; `redeliver` tries again."""
        with self._sessions.begin() as session:
            delivery = session.get_one(Delivery, due.delivery_id)
            if delivery.state in OPEN:
                self._fail(session, delivery, reason)

    def is_committed(self, due: Due) -> bool:
        """Whether the archive has said that it keeps the object."""
        with self._sessions() as session:
            return is_committed(session, due.delivery_id)

    def begin_commitment(self, due: Due) -> str:
        """Write down a request for commitment; returns its transaction UID."""
        with self._sessions.begin() as session:
            return begin_commitment(session, due.delivery_id)

    def _end(self, due: Due, state: DeliveryState, how: str, note: str) -> None:
        with self._sessions.begin() as session:
            delivery = session.get_one(Delivery, due.delivery_id)
            if delivery.state not in OPEN:  # ended before, or retracted meanwhile
                return
            delivery.state = state
            delivery.proved_at = self._now(session)
            delivery.last_error = note or None
            message = f"delivered to {delivery.destination} {how}" + (
                f", but {note}" if note else ""
            )
            level = Level.WARNING if note else Level.INFO
            self._tell(session, delivery, level, Kind.DELIVERED, message)
            self._release(session, delivery.destination)

    def _postpone(self, session: Session, delivery: Delivery, reason: str) -> None:
        pause = doubled(FIRST_PAUSE_S, LONGEST_PAUSE_S, delivery.attempts - 1)
        pause *= random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  no secret
        delivery.not_before = self._now(session) + timedelta(seconds=pause)
        delivery.last_error = reason
        where = delivery.destination
        message = f"delivery to {where} is tried again in {pause:.0f} s: {reason}"
        self._tell(session, delivery, Level.WARNING, Kind.DELIVERY_POSTPONED, message)

    def _fail(self, session: Session, delivery: Delivery, reason: str) -> None:
        delivery.state = DeliveryState.FAILED
        delivery.last_error = reason
        message = f"delivery to {delivery.destination} failed: {reason}"
        self._tell(session, delivery, Level.ALERT, Kind.DELIVERY_FAILED, message)
        self._audit(session, delivery, Action.SENT, Outcome.SERIOUS_FAILURE, reason)

    def _release(self, session: Session, destination: str) -> None:
        """A destination has answered: what waits for that alone is due now."""
        session.execute(
            update(Delivery)
            .where(Delivery.destination == destination, Delivery.away, Delivery.state.in_(OPEN))
            .values(not_before=self._now(session), attempts=1, away=False)
            .execution_options(synchronize_session=False)
        )

    def _due(self, delivery: Delivery) -> Due:
        sent = delivery.state == DeliveryState.SENT
        # A note rejects the report object itself, and is one itself
        forms = None if delivery.retracts or not delivery.forms else tuple(delivery.forms)
        of_draft = not delivery.retracts and delivery.final is None
        names = paths_beside(delivery.draft.sop_instance_uid) if of_draft else []
        beside = tuple(path for name in names if (path := self._spool / name).is_file())
        path = self._spool / delivery.path
        return Due(delivery.id, path, sent, delivery.attempts > 1, forms, beside)

    def _tell(
        self, session: Session, delivery: Delivery, level: Level, kind: Kind, message: str
    ) -> None:
        tell(session, delivery, level, kind, message, self._now(session))

    def _audit(
        self,
        session: Session,
        delivery: Delivery,
        action: Action,
        outcome: Outcome = Outcome.SUCCESS,
        detail: str = "",
    ) -> None:
        entry = Entry(
            action=action,
            who=this_process(),
            to=Who(kind="node", name=delivery.destination),
            study=sent(delivery),
            outcome=outcome,
            detail=detail,
        )
        audit.record(session, entry, now=self._now(session))
