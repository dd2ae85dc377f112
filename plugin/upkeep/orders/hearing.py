"""A message becomes rows and an acknowledgment: first the one, committed, then the other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import hl7
from sqlalchemy import delete, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dicom_io.hl7_messages import Message, messages_in
from plugin.state.clock import now_of
from plugin.state.database import SessionFactory, reason_of
from plugin.state.kept.orders import Order
from plugin.state.running.bell import ring
from plugin.state.tables import Job, JobState, Study
from plugin.upkeep.orders.messages import ORDERS, RESULTS, Told, told_by

LOGGER = logging.getLogger(__name__)
# HL7 table 0008
ACCEPTED, ERROR, REJECTED = "AA", "AE", "AR"
_LONGEST_NUMBER = 64
# A study that comes later than this after its order is a matter of months: nobody waits for it
_KEPT = timedelta(days=365)


@dataclass(frozen=True)
class Hearing:
    """Takes messages.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    accession_fields : sequence of str
        Where the accession number stands; see `told_by`.
    now : callable
        The moment, asked in a transaction.
    """

    sessions: SessionFactory
    accession_fields: Sequence[str]
    now: Callable[[Session], datetime] = now_of

    def hear(self, content: bytes) -> bytes:
        """Take one message, and return its acknowledgment.

        AA: what it tells is committed. AE: the database does not answer, and the sender tries
        again. AR: it cannot be read, or is of a type that is not taken.
        """
        try:
            (message,) = messages_in(content)
        except (hl7.HL7Exception, LookupError, ValueError) as error:
            LOGGER.warning("an HL7 message cannot be read (%s)", type(error).__name__)
            return _acknowledgment(None, REJECTED, "the message cannot be read")
        if message.kind not in (*ORDERS, *RESULTS):
            return _acknowledgment(message, REJECTED, f"{message.kind} messages are not taken")
        told = told_by(message, self.accession_fields)
        if not told:
            LOGGER.warning("an HL7 message %s has no accession number", message.kind)
            return _acknowledgment(message, REJECTED, "there is no accession number")
        if any(len(one.accession_number) > _LONGEST_NUMBER for one in told):
            return _acknowledgment(message, REJECTED, "the accession number is too long")
        try:
            with self.sessions.begin() as session:
                for one in told:
                    self._keep(session, one)
        except DBAPIError as error:
            LOGGER.error("HL7: the database does not answer: %s", reason_of(error))
            return _acknowledgment(message, ERROR, "the database does not answer")
        return _acknowledgment(message, ACCEPTED, "")

    def _keep(self, session: Session, told: Told) -> None:
        """Write it down, and wake whoever waits: a study may be more urgent now, or not wanted."""
        now = self.now(session)
        order = session.get(Order, told.accession_number, with_for_update=True)
        if order is None:
            session.execute(delete(Order).where(Order.told_at < now - _KEPT))
            order = Order(accession_number=told.accession_number)
            session.add(order)
        order.told_at = now
        order.study_instance_uid = told.study_instance_uid or order.study_instance_uid
        if told.reported:
            order.reported_at = order.reported_at or now
        else:
            order.urgency = told.urgency if told.urgency is not None else order.urgency
        studies = select(Study.id).where(Study.accession_number == told.accession_number)
        waiting = Job.study_id.in_(studies), Job.state == JobState.PENDING
        session.execute(update(Job).where(*waiting).values(judged_at=None))
        ring(session)


def _acknowledgment(message: Message | None, code: str, why: str) -> bytes:
    """The answer to a message (HL7 v2.5.1, 2.9.2); what was sent to us may name a patient."""
    moment = datetime.now().astimezone().strftime("%Y%m%d%H%M%S%z")
    header = message.segments[0] if message else None
    sender = [header.first(3), header.first(4)] if header else ["", ""]
    receiver = [header.first(5), header.first(6)] if header else ["", ""]
    control = header.first(10) if header else ""
    version = header.first(12) if header else "2.5.1"
    kept = [_plain(one) for one in (*receiver, *sender)]
    lines = [
        "|".join(["MSH", "^~\\&", *kept, moment, "", "ACK", f"A{control}"[:20], "P", version]),
        "|".join(["MSA", code, _plain(control), why]),
    ]
    return "\r".join([*lines, ""]).encode()


def _plain(text: str) -> str:
    return "".join(one for one in text if one not in "|^~\\&\r\n")
