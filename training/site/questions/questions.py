"""Questions of M3D's types whose answers the headers or simple statements of the report give."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicom_io.phantoms.truth import PHASES, PLANES
from dicom_io.volume.orientation import acquisition_plane
from training.data.questions import (
    ABNORMALITY,
    LOCATION,
    ORGAN,
    ORGAN_OF,
    PHASE,
    PLANE,
    WHICH_PHASE,
    WHICH_PLANE,
    Question,
    closed,
    presence,
)
from training.data.store import ImageRecord
from training.site.questions.statements import Statement, normal_organs, statements

_LEAST_COSINE = 0.966
"""Of the angle between a stack and its plane, 15 degrees; more is oblique, and nobody's plane."""

_SIDED = ("pleural effusion", "pneumothorax", "hydronephrosis", "renal cyst", "pulmonary nodule")
_SIDES = ("left", "right", "bilateral", "midline")


@dataclass(frozen=True)
class Asked:
    """A question with where its answer comes from."""

    question: Question
    origin: str

    @property
    def provenance(self) -> dict[str, str]:
        """Which headers or sentence give the answer."""
        asked = self.question
        return {"image": asked.image, "question": asked.question, "from": self.origin}


def questions_of(record: ImageRecord, text: str, source: str) -> Iterator[Asked]:
    """Ask about an image.

    Every right answer is the only right one among its choices. The report is asked about only
    where the image shows all that the study shows (`origin["covers_study"]`).

    Parameters
    ----------
    record : ImageRecord
        Of a site's store.
    text : str
        Its report as it was reviewed.
    source : str
        Name of the file of questions; those with yes or no go to `{source}_yn`.
    """
    yield from _of_headers(record, source)
    if record.origin.get("covers_study"):
        found = statements(text)
        for statement in found:
            yield from _about(statement, found, record.key, source)
        yield from _of_organs(found, text, record.key, source)


def _of_headers(record: ImageRecord, source: str) -> Iterator[Asked]:
    if record.affine_lps is not None and _is_orthogonal(np.array(record.affine_lps)):
        plane = acquisition_plane(np.array(record.affine_lps))
        wrong = (*(p for p in PLANES if p != plane), "oblique")
        asked = _closed(record.key, PLANE, WHICH_PLANE, plane, wrong, source)
        yield Asked(asked, "ImageOrientationPatient and ImagePositionPatient")
    phase = record.origin.get("phase")
    if phase:
        others = [other for other in PHASES if other != phase]
        asked = _closed(record.key, PHASE, WHICH_PHASE, phase, others, source)
        yield Asked(asked, "ContrastBolusAgent with SeriesDescription or the delay of acquisition")


def _is_orthogonal(affine: NDArray[np.float64]) -> bool:
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.abs(directions).max(axis=0).min() >= _LEAST_COSINE)


def _about(
    statement: Statement, others: Sequence[Statement], image: str, source: str
) -> Iterator[Asked]:
    name, origin = statement.finding, f"the sentence “{statement.sentence}”"
    yield Asked(presence(image, name, statement.present, f"{source}_yn"), origin)
    if not statement.present:
        return
    absent = [other.finding for other in others if not other.present]
    if len(absent) >= 3 and sum(other.present for other in others) == 1:
        question = "Which of these abnormalities is seen?"
        yield Asked(_closed(image, ABNORMALITY, question, name, absent, source), origin)
    if statement.side and name in _SIDED:
        wrong = [side for side in _SIDES if side != statement.side]
        question = f"On which side is the {name}?"
        yield Asked(_closed(image, LOCATION, question, statement.side, wrong, source), origin)


def _of_organs(found: Sequence[Statement], text: str, image: str, source: str) -> Iterator[Asked]:
    """Ask for the one organ that has a finding, among others that the report calls normal."""
    normal = dict(normal_organs(text))
    for statement in found:
        organ = ORGAN_OF.get(statement.finding)
        if statement.present and organ and organ not in normal and len(normal) >= 3:
            question = "Which of these organs is abnormal?"
            asked = _closed(image, ORGAN, question, organ, sorted(normal), source)
            sentences = [statement.sentence, *(normal[o] for o in sorted(normal))]
            yield Asked(asked, " ".join(f"“{sentence}”" for sentence in sentences))
            return


def _closed(
    image: str, kind: int, question: str, answer: str, wrong: Sequence[str], source: str
) -> Question:
    """Put the answer among three wrong ones; image and question decide which and where."""
    seed = hashlib.sha256(f"{image}\n{question}".encode()).digest()
    rng = np.random.default_rng(list(seed))
    drawn = [str(one) for one in rng.permutation(list(wrong))][:3]
    return closed(image, kind, question, answer, [answer, *drawn], rng, source)
