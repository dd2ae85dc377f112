"""What a radiologist signed of a study that was drafted, and how the draft compares with it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from plugin.state.columns import Base, CleanText, Key, UtcDateTime
from plugin.state.tables import Draft


class SignedText(Base):
    """The signed report of a drafted study: findings and impression, as they hold.

    It may name people, as reports do. It goes with its draft.
    """

    __tablename__ = "signed_texts"

    id: Mapped[Key]
    draft_id: Mapped[int] = mapped_column(ForeignKey("drafts.id", ondelete="CASCADE"), unique=True)
    # An archive of the settings, or "files"
    source: Mapped[str] = mapped_column(String(64))
    text: Mapped[str] = mapped_column(CleanText)
    fetched_at: Mapped[datetime] = mapped_column(UtcDateTime)
    # Agreed, changed, invented and missed findings, as they were read when it came
    compared: Mapped[dict[str, Any]] = mapped_column(JSON)

    draft: Mapped[Draft] = relationship()
