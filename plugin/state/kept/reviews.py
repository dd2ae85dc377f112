"""What people make of drafts: who has a study open, what they wrote, and what they decided."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from plugin.state.columns import Base, CleanText, Key, UtcDateTime
from plugin.state.kept.people import Person
from plugin.state.tables import Draft


class ReviewState(StrEnum):
    """Where a review stands; only open ones are edited."""

    OPEN = "open"
    LATER = "later"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class Review(Base):
    """The one review of a study: the text as it stands, and the decision."""

    __tablename__ = "reviews"
    # The list of studies looks for the decision by the draft that it is about
    __table_args__ = (Index("ix_reviews_standing", "study_id", "draft_id", "state", "until"),)

    id: Mapped[Key]
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), unique=True)
    # The draft that its text began as
    draft_id: Mapped[int] = mapped_column(ForeignKey("drafts.id", ondelete="CASCADE"), index=True)
    # Goes up with every change: who saves names the one that was seen
    version: Mapped[int] = mapped_column(default=1)
    state: Mapped[str] = mapped_column(String(16), default=ReviewState.OPEN)
    sections: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    reason: Mapped[str | None] = mapped_column(CleanText)
    until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # Indexed: every open page is told of what was saved just now
    saved_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    # As people are shown; the audit trail has the names that they sign in with
    saved_by: Mapped[str] = mapped_column(String(128))

    draft: Mapped[Draft] = relationship()
    steps: Mapped[list[ReviewStep]] = relationship(order_by="ReviewStep.id")


class ReviewStep(Base):
    """What somebody did with a review, and the text that they left."""

    __tablename__ = "review_steps"

    id: Mapped[Key]
    review_id: Mapped[int] = mapped_column(ForeignKey("reviews.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    by: Mapped[str] = mapped_column(String(128))
    action: Mapped[str] = mapped_column(String(16))
    sections: Mapped[list[dict[str, Any]]] = mapped_column(JSON)


class Presence(Base):
    """Somebody has a study open, until nothing is heard of them for a while."""

    __tablename__ = "presence"

    study_id: Mapped[int] = mapped_column(
        ForeignKey("studies.id", ondelete="CASCADE"), primary_key=True
    )
    person: Mapped[str] = mapped_column(
        ForeignKey(Person.name, ondelete="CASCADE"), primary_key=True
    )
    since: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class Template(Base):
    """A text that is put into reports by its name."""

    __tablename__ = "templates"
    __table_args__ = (UniqueConstraint("owner", "name"),)

    id: Mapped[Key]
    # Who signs in by this name; empty where it is the house's
    owner: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(16))
    # Of the section that it is meant for; None is any
    heading: Mapped[str | None] = mapped_column(String(16))
    # Cleaned line by line, as it was typed in lines
    text: Mapped[str] = mapped_column(Text)
    language: Mapped[str] = mapped_column(String(8))
