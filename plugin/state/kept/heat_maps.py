"""Where in the images the sentences of a draft come from, as the reading room draws it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column, relationship

from plugin.state.columns import Base, CleanText, Key
from plugin.state.tables import Draft


class HeatMap(Base):
    """The map of one sentence; it goes with its draft."""

    __tablename__ = "heat_maps"

    id: Mapped[Key]
    draft_id: Mapped[int] = mapped_column(ForeignKey("drafts.id", ondelete="CASCADE"), index=True)
    # As the model wrote it, in one line: the report may name slices behind it
    sentence: Mapped[str] = mapped_column(CleanText)
    # Columns, rows and slices; mm; the middle of the first voxel, and unit vectors (LPS)
    grid: Mapped[dict[str, Any]] = mapped_column(JSON)
    # A byte for each voxel, columns first: some hundred bytes
    values: Mapped[bytes] = mapped_column(LargeBinary)

    draft: Mapped[Draft] = relationship()
