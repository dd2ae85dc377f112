"""Studies of this site that look like another one to the model that drafted both.

Every vector of a model is in memory, and compared with one matrix product. A vector index would pay
beyond some million studies; `bench/similar.py` prints what it takes.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from plugin.state.database import SessionFactory
from plugin.state.kept.embeddings import ImageEmbedding
from plugin.state.tables import Draft, Study

# Beside each one that is shown there may be drafts that are gone, replaced or taken back
_SPARE = 50


@dataclass(frozen=True)
class SimilarStudy:
    """A study that was drafted here.

    Parameters
    ----------
    study_instance_uid : str
        Its UID.
    draft_id : int
        Its current draft.
    similarity : float
        Cosine of the angle between the embeddings, 1 where they are the same.
    """

    study_instance_uid: str
    draft_id: int
    similarity: float


def nearest(
    vectors: NDArray[np.float32], wanted: NDArray[np.float32], number: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the rows that are most similar to a vector, the best first, and how similar.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, width)
        Each of length 1.
    wanted : ndarray of float32, shape (width,)
        Of length 1.
    number : int
        How many, at most.
    """
    cosines = vectors @ wanted
    number = min(number, len(cosines))
    best = np.argpartition(-cosines, number - 1)[:number] if number else np.zeros(0, np.intp)
    best = best[np.argsort(-cosines[best], kind="stable")]
    return best, cosines[best]


class Embeddings:
    """The embeddings of all drafts, by model, read from the database as they come.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    """

    def __init__(self, sessions: SessionFactory) -> None:
        self._sessions = sessions
        self._lock = threading.Lock()
        self._models: dict[str, _Model] = {}

    def similar(self, study_instance_uid: str, number: int = 5) -> tuple[list[SimilarStudy], int]:
        """Return the studies most similar to one, and among how many they were looked for.

        Parameters
        ----------
        study_instance_uid : str
            Of the study; nothing is found where it has no current draft by a model that saw it.
        number : int
            How many, at most.
        """
        with self._sessions() as session:
            current = Draft.is_current & (Study.study_instance_uid == study_instance_uid)
            own = session.scalar(
                select(ImageEmbedding)
                .join(Draft, Draft.id == ImageEmbedding.draft_id)
                .join(Study, Study.id == Draft.study_id)
                .where(current)
            )
        if own is None:
            return [], 0
        with self._lock:
            model = self._models.setdefault(own.model_digest, _Model())
            self._read_new(model, own.model_digest)
            drafts, vectors = model.drafts, model.vectors
        rows, cosines = nearest(vectors, _vector(own.vector), number + _SPARE)
        by_draft = {drafts[k]: float(c) for k, c in zip(rows, cosines, strict=True)}
        return self._standing(by_draft, study_instance_uid)[:number], len(drafts)

    def _read_new(self, model: _Model, digest: str) -> None:
        with self._sessions() as session:
            rows = session.execute(
                select(ImageEmbedding.id, ImageEmbedding.draft_id, ImageEmbedding.vector)
                .where(ImageEmbedding.model_digest == digest, ImageEmbedding.id > model.last)
                .order_by(ImageEmbedding.id)
            ).all()
        if not rows:
            return
        new = np.stack([_vector(row.vector) for row in rows])
        model.vectors = np.concatenate([model.vectors, new]) if model.drafts else new
        model.drafts = [*model.drafts, *(row.draft_id for row in rows)]
        model.last = rows[-1].id

    def _standing(self, found: dict[int, float], other_than: str) -> list[SimilarStudy]:
        """Leave out what was deleted, replaced or taken back, and the study itself."""
        with self._sessions() as session:
            rows = session.execute(
                select(Draft.id, Study.study_instance_uid)
                .join(Study, Study.id == Draft.study_id)
                .where(
                    Draft.id.in_(list(found)),
                    Draft.is_current,
                    Draft.retraction_path.is_(None),
                    Study.study_instance_uid != other_than,
                )
            )
            similar = [SimilarStudy(uid, draft_id, found[draft_id]) for draft_id, uid in rows]
        return sorted(similar, key=lambda one: -one.similarity)


class _Model:
    """The vectors of one model in memory."""

    def __init__(self) -> None:
        self.last = 0
        self.drafts: list[int] = []
        self.vectors = np.zeros((0, 0), np.float32)


def _vector(stored: bytes) -> NDArray[np.float32]:
    return np.frombuffer(stored, "<f2").astype(np.float32)
