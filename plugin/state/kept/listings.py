"""How the list of studies names a study.

This table and the audit trail are the only ones that name patients. A list that is searched by name
cannot read 100,000 headers first. A row goes with what it was read from: images and draft.
"""

from __future__ import annotations

from sqlalchemy import ForeignKey, String, delete
from sqlalchemy.orm import Mapped, Session, mapped_column

from plugin.state.columns import Base, CleanText
from plugin.state.tables import Study


class Listing(Base):
    """Patient and study, as a header of the study says; it is made when somebody lists it."""

    __tablename__ = "listings"

    study_id: Mapped[int] = mapped_column(
        ForeignKey(Study.id, ondelete="CASCADE"), primary_key=True
    )
    patient_name: Mapped[str | None] = mapped_column(CleanText)
    patient_id: Mapped[str | None] = mapped_column(CleanText)
    # As DICOM writes dates
    birth_date: Mapped[str | None] = mapped_column(String(8))
    sex: Mapped[str | None] = mapped_column(String(16))
    description: Mapped[str | None] = mapped_column(CleanText)
    study_date: Mapped[str | None] = mapped_column(String(8))
    # The patient's name in small letters, which words of a search are looked for in
    sought: Mapped[str] = mapped_column(CleanText)


def forget_listing(session: Session, study_id: int) -> None:
    """Have a study named anew, from what is left of it."""
    session.execute(delete(Listing).where(Listing.study_id == study_id))
