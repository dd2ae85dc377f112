"""What a model's confidence is worth: fitted on labelled studies, kept beside its weights.

A score is the posterior of what a sentence says. Two numbers for each finding and polarity turn it
into the share of such sentences that were right (Platt 1999). Scores of several findings do not
compare before that. Split-conformal thresholds for each truth (Vovk 2012) tell which facts cannot
be ruled out: the true one is among them in 95 of 100 studies like those of the set, whether the
finding is there or not. It takes 19 studies of a truth to promise that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import exp
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from dicom_io.counted import counted
from dicom_io.errors import CheckpointMismatch
from engine.judgement.phrasing import ABSENT, Phrasing
from engine.judgement.protocol import Assessment, Confidence, Level
from engine.judgement.scores import Score, logit

CALIBRATION = "calibration.json"
"""The file beside a checkpoint's weights."""

ONE_IN = 20
"""At most one in so many studies may have a truth that was ruled out: 5 %."""

ENOUGH = ONE_IN - 1
"""With fewer cases no threshold keeps that promise, and no share of them means much."""

HIGH, LOW = 0.95, 0.8
"""High: at most one in 20 such sentences was wrong. Low: more than one in five."""


class Fitted(BaseModel):
    """What was fitted for one finding and polarity.

    Parameters
    ----------
    finding : str
    present : bool
        Whether it is about the finding being there.
    sentences, right : int
        That said so in the set, and how many of them were right.
    slope, offset : float
        Of the logit of a sentence's score. 0, 0 where there were too few sentences.
    cases : int
        Studies in which it was true.
    least : float, optional
        The least posterior that does not rule it out; None where there were too few cases.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    finding: str
    present: bool
    sentences: int
    right: int
    slope: float
    offset: float
    cases: int
    least: float | None

    @property
    def promises(self) -> bool:
        """Whether there were cases enough for the promise of its threshold."""
        return self.least is not None

    def share_right(self, score: float) -> float:
        """Return the share of sentences with this score that were right in the set."""
        return 1 / (1 + exp(-(self.slope * logit(score) + self.offset)))


class Calibration(BaseModel):
    """What the confidence of one model is worth.

    Parameters
    ----------
    format : 1
    name : str
        Of the labelled set, as a reader may see it.
    studies : int
        In the set.
    model : str
        Digest of the weights and settings that it belongs to.
    phrasings : tuple of Phrasing
        How the model speaks of its findings.
    fitted : tuple of Fitted
        Two for each finding.
    sureness : mapping of str to tuple of float
        Quantiles of `Score.sureness` in the set, for each finding.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: str
    studies: int
    model: str
    phrasings: tuple[Phrasing, ...]
    fitted: tuple[Fitted, ...]
    sureness: Mapping[str, tuple[float, ...]]

    @property
    def calibrated_on(self) -> str:
        """The set with its number of studies, as a reader may see it."""
        studies = counted(self.studies, "study", "studies")
        return f"{self.name}, {studies}"

    def of(self, finding: str, present: bool) -> Fitted | None:
        """Look up what was fitted for a finding and polarity."""
        both = (one for one in self.fitted if one.finding == finding)
        return next((one for one in both if one.present == present), None)

    def may_be(self, score: Score, present: bool) -> bool:
        """Whether a finding may be there, or absent: the conformal set holds it."""
        fitted = self.of(score.finding, present)
        if fitted is None or fitted.least is None:
            return True
        return (score.there if present else 1 - score.there) >= fitted.least

    def level(self, score: Score) -> Level | None:
        """Put in a word how sure the model is of what a sentence says.

        None where the set has too few sentences that say so. "high" also needs the opposite to be
        ruled out, which takes studies where the opposite was true.
        """
        present = score.said != ABSENT
        fitted = self.of(score.finding, present)
        if score.said is None or fitted is None or fitted.sentences < ENOUGH:
            return None
        share = fitted.share_right(score.of_said)
        if share >= HIGH and not self.may_be(score, not present):
            return "high"
        return "low" if share < LOW else "medium"

    def assessment(self, scores: Sequence[Score]) -> Assessment:
        """Say how sure the model is, of the scores of one study."""
        if not scores:
            return Assessment((), calibrated_on=self.calibrated_on)
        return Assessment(
            tuple(self._confidences(scores)),
            tuple(one.finding for one in scores if one.said is None and self._suspects(one)),
            self.calibrated_on,
            self.drift(scores),
        )

    def drift(self, scores: Sequence[Score]) -> float | None:
        """Say how much less sure the model is of a study than it was in the set, from -1 to 1.

        Its mean over many studies like those of the set is 0. None where no score compares.
        """
        ranks = {
            one.finding: _rank(one.sureness, known)
            for one in scores
            if (known := self.sureness.get(one.finding))
        }
        return float(1 - 2 * np.mean(list(ranks.values()))) if ranks else None

    def save(self, folder: Path) -> Path:
        """Write the file that `read_calibration` reads; the folder has to be sealed again."""
        path = folder / CALIBRATION
        path.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return path

    def _confidences(self, scores: Sequence[Score]) -> Iterator[Confidence]:
        for one in scores:
            level = self.level(one)
            if one.span is not None and level is not None:
                yield Confidence(one.span, one.finding, one.said != ABSENT, level)

    def _suspects(self, score: Score) -> bool:
        """Whether a finding that the text does not mention may be there."""
        fitted = self.of(score.finding, True)
        if fitted is not None and fitted.promises:
            return self.may_be(score, True)
        return score.there >= 0.5


def read_calibration(folder: Path) -> Calibration | None:
    """Read the calibration beside a checkpoint's weights; None where it has none.

    Raises
    ------
    CheckpointMismatch
        The file is damaged.
    """
    path = folder / CALIBRATION
    if not path.is_file():
        return None
    try:
        return Calibration.model_validate_json(path.read_bytes())
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) or "the file"
        raise CheckpointMismatch(f"{path} is damaged: {where} is not as expected") from error


def _rank(value: float, quantiles: Sequence[float]) -> float:
    """Return the share of a distribution below a value; half of what equals it counts."""
    below = np.searchsorted(quantiles, value, "left"), np.searchsorted(quantiles, value, "right")
    return float(np.mean(below)) / len(quantiles)
