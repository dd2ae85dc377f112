"""What is told of a delivery: its name in the audit trail, and its events in the timeline."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from plugin.state.audit import Subject, accepted, drafted
from plugin.state.kinds import Kind
from plugin.state.tables import Delivery, Level
from plugin.state.tally import TALLY, Counted
from plugin.state.timeline import add_event


def sent(delivery: Delivery) -> Subject:
    """Name what is delivered."""
    if delivery.final is None:
        return drafted(delivery.draft, note=delivery.retracts)
    return accepted(delivery.final)


def tell(
    session: Session, delivery: Delivery, level: Level, kind: Kind, message: str, now: datetime
) -> None:
    """Write an event of a delivery into the timeline of its study.

    Parameters
    ----------
    session : Session
        The caller's transaction.
    delivery : Delivery
        Whose event it is.
    level, kind, message : Level, Kind, str
        As `add_event` takes them.
    now : datetime
        The moment, in UTC.
    """
    draft = delivery.draft
    TALLY.count(Counted.DELIVERIES, destination=delivery.destination, outcome=str(kind))
    what = "rejection note of draft" if delivery.retracts else "draft"
    what = "accepted report of draft" if delivery.final_id is not None else what
    text = f"{what} {draft.revision}: {message}"
    about = {"destination": delivery.destination}
    add_event(session, kind, text, now=now, study_id=draft.study_id, level=level, detail=about)
