"""The tables of alarms: what wants a person, and who has been told."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import JSON, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from plugin.state.columns import Base, CleanText, Key, UtcDateTime


class News(StrEnum):
    """What there is to be told of an alarm."""

    RAISED = "raised"
    REPEATED = "repeated"
    OVER = "over"


class Alarm(Base):
    """A cause that wants a person, from when it was first seen until it is over."""

    __tablename__ = "alarms"
    __table_args__ = (
        Index(
            "uq_alarms_open",
            "cause",
            unique=True,
            sqlite_where=text("over_at IS NULL"),
            postgresql_where=text("over_at IS NULL"),
        ),
    )

    id: Mapped[Key]
    cause: Mapped[str] = mapped_column(String(128))
    urgent: Mapped[bool]
    # How often it happened
    count: Mapped[int]
    message: Mapped[str] = mapped_column(CleanText)
    # Keys of the latest studies that it happened to
    studies: Mapped[list[int]] = mapped_column(JSON)
    first_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)
    over_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    notices: Mapped[list[Notice]] = relationship(back_populates="alarm", order_by="Notice.id")


class Notice(Base):
    """News of an alarm for one channel, to be sent or sent."""

    __tablename__ = "alarm_notices"

    id: Mapped[Key]
    alarm_id: Mapped[int] = mapped_column(ForeignKey("alarms.id"), index=True)
    channel: Mapped[str] = mapped_column(String(64))
    news: Mapped[str] = mapped_column(String(16))
    not_before: Mapped[datetime] = mapped_column(UtcDateTime)
    attempts: Mapped[int] = mapped_column(default=0)
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_error: Mapped[str | None] = mapped_column(CleanText)

    alarm: Mapped[Alarm] = relationship(back_populates="notices")
