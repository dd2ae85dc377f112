"""Requests for storage commitment: asked by delivery, answered to whoever hears the archive."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from pydicom.uid import generate_uid
from sqlalchemy import ForeignKey, String, exists, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from plugin.state.columns import Base, Key
from plugin.state.tables import Delivery


class Commitment(Base):
    """A request for storage commitment, and its answer, which may come to another process."""

    __tablename__ = "commitments"

    id: Mapped[Key]
    transaction_uid: Mapped[str] = mapped_column(String(64), unique=True)
    delivery_id: Mapped[int] = mapped_column(ForeignKey("deliveries.id"), index=True)
    committed: Mapped[bool | None]


def begin_commitment(session: Session, delivery_id: int) -> str:
    """Write down a request before it is made; returns its transaction UID."""
    uid = str(generate_uid())
    session.add(Commitment(transaction_uid=uid, delivery_id=delivery_id))
    return uid


def is_committed(session: Session, delivery_id: int) -> bool:
    """Whether the archive has said of any request for a delivery that it keeps the object."""
    kept = exists().where(Commitment.delivery_id == delivery_id, Commitment.committed.is_(True))
    return bool(session.scalar(select(kept)))


def record_report(
    session: Session, transaction_uid: str, committed: Collection[str], now: datetime
) -> bool:
    """Write down what an archive reports, and make its delivery due; False if nobody asked.

    Parameters
    ----------
    session : Session
        The caller's transaction.
    transaction_uid : str
        As the archive gives it.
    committed : collection of str
        SOP Instance UIDs that it keeps.
    now : datetime
        The moment, in UTC.
    """
    asked = session.scalar(select(Commitment).where(Commitment.transaction_uid == transaction_uid))
    if asked is None:
        return False
    delivery = session.get_one(Delivery, asked.delivery_id)
    asked.committed = delivery.draft.sop_instance_uid in committed
    if asked.committed:
        delivery.not_before = now
    return True
