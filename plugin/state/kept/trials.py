"""Tables of models on trial: what they drafted in the shadow, and which one is current."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from plugin.state.columns import Base, CleanText, Key, UtcDateTime
from plugin.state.tables import Draft


class ShadowState(StrEnum):
    """Where a shadow draft stands."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"


class Shadow(Base):
    """What a model on trial writes of the study of a draft: kept to be compared, never sent."""

    __tablename__ = "shadows"
    __table_args__ = (UniqueConstraint("draft_id", "model_name"),)

    id: Mapped[Key]
    # It is nothing without its draft, and goes with it
    draft_id: Mapped[int] = mapped_column(ForeignKey("drafts.id", ondelete="CASCADE"))
    model_name: Mapped[str] = mapped_column(String(64))
    model_digest: Mapped[str | None] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16), default=ShadowState.PENDING, index=True)
    attempts: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[datetime] = mapped_column(UtcDateTime)
    text: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(CleanText)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)

    draft: Mapped[Draft] = relationship()


class Promotion(Base):
    """The service's own model was changed; the latest row says to which."""

    __tablename__ = "promotions"

    id: Mapped[Key]
    time: Mapped[datetime] = mapped_column(UtcDateTime)
    # None is the model of the settings' table [engine]
    model_name: Mapped[str | None] = mapped_column(String(64))
    before: Mapped[str | None] = mapped_column(String(64))
