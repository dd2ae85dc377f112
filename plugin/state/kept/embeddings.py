"""What the model saw of a drafted study, as a vector: similar studies have similar ones."""

from __future__ import annotations

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from plugin.state.columns import Base, Key
from plugin.state.tables import Draft


class ImageEmbedding(Base):
    """The image embedding of a draft; it goes with it."""

    __tablename__ = "image_embeddings"

    id: Mapped[Key]
    draft_id: Mapped[int] = mapped_column(ForeignKey("drafts.id", ondelete="CASCADE"), unique=True)
    # Vectors of different models cannot be compared
    model_digest: Mapped[str] = mapped_column(String(64), index=True)
    # float16, little endian: 1.5 KB a study where the model's width is 768
    vector: Mapped[bytes] = mapped_column(LargeBinary)

    draft: Mapped[Draft] = relationship()
