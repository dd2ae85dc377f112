"""What a RIS has told of studies: how urgent each is, and which ones have a final report."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from plugin.state.columns import UID, Base, UtcDateTime
from plugin.state.tables import Study


class Order(Base):
    """What was told of an accession number; the study itself may come before it or after."""

    __tablename__ = "orders"

    accession_number: Mapped[str] = mapped_column(String(64), primary_key=True)
    # Where it was told, too: the number alone may have been used twice
    study_instance_uid: Mapped[str | None] = mapped_column(UID)
    # As `plugin.rules.urgency` numbers them
    urgency: Mapped[int | None]
    reported_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    told_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


def order_of(session: Session, study: Study) -> Order | None:
    """Return what was told of a study; None where nothing was."""
    if not study.accession_number:
        return None
    same = or_(
        Order.study_instance_uid.is_(None), Order.study_instance_uid == study.study_instance_uid
    )
    wanted = Order.accession_number == study.accession_number
    return session.scalar(select(Order).where(wanted, same))
