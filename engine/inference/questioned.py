"""What a model that writes freely says of findings when it is asked by yes or no."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from dicom_io.model_input.preprocess import ModelInput
from engine.inference.question import Asked
from engine.judgement.moving import moved
from engine.judgement.phrasing import ABSENT, PRESENT, Phrasing
from engine.judgement.scoring import Posteriors, averaged
from engine.protocol import Answer, Sampling

YES_NO = ("Yes", "No")

_ONE_TOKEN = Sampling(max_new_tokens=1)
"""The answer is not read, only how likely it begins with each choice."""


class Answers(Protocol):
    """What can be asked several questions at once."""

    def ask_batch(self, asked: Sequence[Asked], sampling: Sampling) -> tuple[Answer, ...]:
        """Answer questions together."""
        ...


def question_posteriors(
    engine: Answers,
    model_input: ModelInput,
    phrasings: Sequence[Phrasing],
    until: float = float("inf"),
) -> Posteriors:
    """Ask for findings, of the images and of the same a few voxels away.

    Parameters
    ----------
    engine : Answers
    model_input : ModelInput
    phrasings : sequence of Phrasing
        Only findings that no listed sentences state are asked for.
    until : float
        By `time.monotonic`: nothing is begun after it, and what is not complete is left out.
    """
    wanted = [one for one in phrasings if one.question and not one.facts]
    seen = []
    for one in moved(model_input) if wanted else ():
        if time.monotonic() >= until:
            return {}
        asked = [Asked(one, phrasing.question, YES_NO) for phrasing in wanted]
        answers = engine.ask_batch(asked, _ONE_TOKEN)
        # moved images may look foreign to a model that is near its limit
        if all(answer.choices for answer in answers):
            names = (phrasing.finding for phrasing in wanted)
            seen.append(dict(zip(names, map(_shares, answers), strict=True)))
    return averaged(seen) if seen else {}


def _shares(answer: Answer) -> dict[str, float]:
    yes, no = (choice.probability for choice in answer.choices)
    return {PRESENT: yes, ABSENT: no}
