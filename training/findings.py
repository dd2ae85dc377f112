"""A rule-based score of reports by their findings: finding, negation, side.

N-gram metrics hide a wrong side; this score does not. A sentence asserts a finding where it uses
one of the finding's terms and no negation before it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dicom_io.phantom import Truth

Asserted = frozenset[tuple[str, str | None]]
"""(finding, side) pairs; the side is None for findings that have none."""

_TERMS = {
    "cardiomegaly": r"cardiomegaly|heart is enlarged|enlarged heart",
    "pleural effusion": r"pleural effusions?",
    "hepatic steatosis": r"hepatic steatosis|fatty liver|liver is of low attenuation",
    "splenomegaly": r"splenomegaly|spleen is enlarged|enlarged spleen",
    "ascites": r"ascites|free fluid",
}
_NEGATION = re.compile(r"\b(no|without|not)\b")
_SIDED = ("pleural effusion",)


@dataclass(frozen=True)
class Score:
    """Counts of one finding, or of all (micro average)."""

    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def precision(self) -> float:
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        wrong = self.false_positives + self.false_negatives
        return _ratio(2 * self.true_positives, 2 * self.true_positives + wrong)


def section(report: str, heading: str) -> str:
    """Return the text under a heading of `Technique: … Findings: … Impression: …`."""
    match = re.search(rf"{heading}:(.*?)(?=(?:Technique|Findings|Impression):|$)", report, re.S)
    return match[1].strip() if match else ""


def asserted(text: str) -> Asserted:
    """Read which findings a text asserts, and on which side."""
    found = set()
    for sentence in re.split(r"(?<=\.)\s+", text.lower()):
        for name, terms in _TERMS.items():
            match = re.search(terms, sentence)
            if match and not _NEGATION.search(sentence[: match.start()]):
                found.add((name, _side(sentence) if name in _SIDED else None))
    return frozenset(found)


def true_findings(truth: Truth) -> Asserted:
    """Return what a perfect report of this phantom asserts."""
    return frozenset((finding.name, finding.side) for finding in truth.findings)


def strict_scores(
    truths: Sequence[Asserted], predictions: Sequence[Asserted], names: Iterable[str]
) -> dict[str, Score]:
    """Score each finding, and under "all" their micro average; a wrong side is wrong twice."""
    hit: Counter[str] = Counter()
    extra: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    for truth, prediction in zip(truths, predictions, strict=True):
        hit.update(name for name, _ in truth & prediction)
        extra.update(name for name, _ in prediction - truth)
        missed.update(name for name, _ in truth - prediction)
    names = tuple(names)
    scores = {name: Score(hit[name], extra[name], missed[name]) for name in names}
    total = (sum(counter[name] for name in names) for counter in (hit, extra, missed))
    return {**scores, "all": Score(*total)}


def _side(sentence: str) -> str | None:
    if "bilateral" in sentence or ("left" in sentence and "right" in sentence):
        return "bilateral"
    return next((side for side in ("left", "right") if side in sentence), None)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
