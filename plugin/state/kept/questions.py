"""Table of the questions that readers ask about studies; nothing of it enters a report."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from plugin.state.columns import Base, CleanText, Key, UtcDateTime
from plugin.state.tables import Study


class QuestionState(StrEnum):
    """Where a question stands."""

    OPEN = "open"
    """Asked, or being answered: its text grows."""
    ANSWERED = "answered"
    FAILED = "failed"


class Question(Base):
    """A question about a study, and its answer; it goes with the study."""

    __tablename__ = "questions"

    id: Mapped[Key]
    # It is nothing without its study, and goes with it
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), index=True)
    asked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    asked_by: Mapped[str] = mapped_column(String(64))
    question: Mapped[str] = mapped_column(CleanText)
    # Of a closed question
    choices: Mapped[list[str]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(16), default=QuestionState.OPEN, index=True)
    # Begun so often; who begins one has it until then
    attempts: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[datetime] = mapped_column(UtcDateTime)
    text: Mapped[str | None] = mapped_column(CleanText)
    # [{"choice", "probability"}] of a closed question
    probabilities: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON)
    model: Mapped[str | None] = mapped_column(String(128))
    error: Mapped[str | None] = mapped_column(CleanText)

    study: Mapped[Study] = relationship()
