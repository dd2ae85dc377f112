"""What a model's images say of its findings, beside what its text says: raw, before calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log

from engine.judgement.phrasing import ABSENT, agrees

SURE = 1e-6
"""Nearer to 0 and 1 a posterior is rounding, and its logarithm would outweigh all others."""


@dataclass(frozen=True)
class Score:
    """What a model's images say of one finding, beside what its text says.

    Parameters
    ----------
    finding : str
        By its name.
    posterior : mapping of str to float
        Of each fact; together 1.
    said : str, optional
        The fact that the text states; None where it does not mention the finding.
    span : (int, int), optional
        Of the sentence, in the text.
    """

    finding: str
    posterior: Mapping[str, float]
    said: str | None = None
    span: tuple[int, int] | None = None

    @property
    def there(self) -> float:
        """That the finding is there, on whichever side."""
        return sum(share for fact, share in self.posterior.items() if fact != ABSENT)

    @property
    def of_said(self) -> float:
        """The posterior of what the text says; 0 where it says nothing."""
        if self.said is None:
            return 0.0
        # a side that was not asked for is no reason to doubt that something is there
        return self.posterior.get(self.said, 0.0 if self.said == ABSENT else self.there)

    @property
    def sureness(self) -> float:
        """The logit of the likeliest fact."""
        return logit(max(self.posterior.values()))


@dataclass(frozen=True)
class Case:
    """A finding of a labelled study.

    Parameters
    ----------
    study : str
        Which study; not kept.
    score : Score
        Of its first sentence about the finding, or without one.
    truth : str
        The fact that is true; "present" where the side is not known.
    """

    study: str
    score: Score
    truth: str

    @property
    def right(self) -> bool:
        """Whether the text says what is true."""
        return self.score.said is not None and agrees(self.score.said, self.truth)


def cases_of(study: str, scores: Sequence[Score], truths: Mapping[str, str]) -> list[Case]:
    """Pair the first score of each finding with its truth, where that is known.

    Parameters
    ----------
    study : str
    scores : sequence of Score
        In the order of the text.
    truths : mapping of str to str
        The true fact of each finding; see `Case`.
    """
    first: dict[str, Score] = {}
    for one in scores:
        first.setdefault(one.finding, one)
    return [Case(study, first[name], truth) for name, truth in truths.items() if name in first]


def logit(share: float) -> float:
    """Return the logarithm of the odds of a share."""
    inside = min(max(share, SURE), 1 - SURE)
    return log(inside / (1 - inside))
