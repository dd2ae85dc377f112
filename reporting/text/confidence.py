"""How sure a model is of its sentences, as a draft shows it: in words, and only where it counts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from dicom_io.counted import counted
from reporting.text.sentences import Span, before_the_stop

Level = Literal["high", "medium", "low"]
Confidence = Literal["high", "medium", "low", "not assessed"]
"""The last one only where others of the same draft were assessed: no mark is no silence."""

WITHHELD = "All sentences of this section were withheld: the model's confidence is low."

_MARK = re.compile(r" \[confidence: (?:medium|low|not assessed)\]")
_ABOUT_CONFIDENCE, _UNMENTIONED = "Confidence", "Not mentioned, but possibly present"


@dataclass(frozen=True)
class Assessed:
    """What a model's confidence in a text is worth, and what it is.

    Parameters
    ----------
    levels : mapping of spans to levels
        How sure it is that each of `assertions_in(text)` is true, as far as it knows.
    calibrated_on : str
        The set that the three words were fitted on, as a reader may see it; "" says uncalibrated.
    unmentioned : tuple of str
        Findings that the text passes over and the images may show.
    failed : bool
        Whether the model could not say.
    withhold : bool
        Whether a draft leaves out sentences of low confidence.
    """

    levels: Mapping[Span, Level] = field(default_factory=dict)
    calibrated_on: str = ""
    unmentioned: tuple[str, ...] = ()
    failed: bool = False
    withhold: bool = False

    @property
    def shown(self) -> bool:
        """Whether sentences carry a word: not without a calibration."""
        return bool(self.calibrated_on and self.levels and not self.failed)

    def of(self, span: Span) -> Confidence | None:
        """Return the confidence in a sentence; None where the draft shows none."""
        return self.levels.get(span, "not assessed") if self.shown else None

    def withholds(self, span: Span) -> bool:
        """Tell whether a draft leaves a sentence out."""
        return self.withhold and self.of(span) == "low"


def marked(text: str, confidence: Confidence | None) -> str:
    """Say behind a sentence that the model is not sure of it; nothing where it is."""
    doubtful = confidence not in (None, "high")
    return before_the_stop(text, f"[confidence: {confidence}]") if doubtful else text


def unmarked(text: str) -> str:
    """Take these marks out of a text: what a physician goes on with is the sentence alone."""
    return _MARK.sub("", text)


def notices_about(assessed: Assessed, withheld: int) -> list[str]:
    """Say what the marks are worth, and what the text passes over.

    Parameters
    ----------
    assessed : Assessed
    withheld : int
        How many sentences are left out, because the confidence in them is low.
    """
    if assessed.failed or (assessed.calibrated_on and not assessed.levels):
        said = [f"{_ABOUT_CONFIDENCE}: not assessed."]
    elif not assessed.calibrated_on:
        return [f"{_ABOUT_CONFIDENCE}: uncalibrated."]
    else:
        said = [
            f"{_ABOUT_CONFIDENCE}: high, except where a sentence says otherwise. Calibrated on "
            f"{assessed.calibrated_on}."
        ]
    if withheld:
        sentences = counted(withheld, "sentence")
        said.append(f"{_ABOUT_CONFIDENCE} is low in {sentences}, withheld from this draft.")
    if assessed.unmentioned:
        said.append(f"{_UNMENTIONED}: {', '.join(assessed.unmentioned)}.")
    return said


def is_about_confidence(notice: str) -> bool:
    """Tell whether a notice says what the marks are worth."""
    return notice.startswith(_ABOUT_CONFIDENCE)


def is_suspicion(notice: str) -> bool:
    """Tell whether a notice names what the text passes over."""
    return notice.startswith(_UNMENTIONED)
