"""How a model speaks of its findings: which fact a sentence states, and what it could have said."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

ABSENT, PRESENT = "absent", "present"
"""Facts of a finding; one with sides has "left" and its like in place of "present"."""

_DENIES = re.compile(r"\b(no|not|without|absent|negative|normal|unremarkable)\b")
_HEADING = re.compile(r"\w[\w ]*:\s+")
_NOT_A_DENIAL = re.compile(r"\b(not|no) (excluded|longer|change)\b|\bcannot\b")


class Phrasing(BaseModel):
    """How a model speaks of one finding.

    Parameters
    ----------
    finding : str
        By its name.
    terms : tuple of str
        In lower case; a sentence that holds one of them speaks of the finding.
    facts : mapping of str to tuple of str
        The sentences that state each fact; empty where the model writes freely.
    question : str
        What asks a model that writes freely for the finding, to be answered by yes or no.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    finding: str
    terms: tuple[str, ...]
    facts: Mapping[str, tuple[str, ...]] = {}
    question: str = ""

    def speaks(self, sentence: str) -> bool:
        """Whether a sentence speaks of the finding."""
        text = sentence.lower()
        return any(term in text for term in self.terms) or self._stated(text) is not None

    def fact(self, sentence: str) -> str:
        """Return the fact that a sentence about the finding states."""
        text = sentence.lower()
        if stated := self._stated(text):
            return stated
        if _DENIES.search(text) and not _NOT_A_DENIAL.search(text):
            return ABSENT
        # the impression names the side and the finding, in words of its own
        return next((side for side in self.facts if side in text), PRESENT)

    def _stated(self, text: str) -> str | None:
        wordings = (
            (said.lower(), fact) for fact, sentences in self.facts.items() for said in sentences
        )
        return next((fact for said, fact in wordings if said in text), None)


@dataclass(frozen=True)
class Spoken:
    """A sentence that speaks of one finding.

    Parameters
    ----------
    span : (int, int)
        Its start and end in the text.
    phrasing : Phrasing
        Of the finding.
    fact : str
        That it states.
    start : int
        Where its words begin in the text, after a heading such as "Findings:".
    """

    span: tuple[int, int]
    phrasing: Phrasing
    fact: str
    start: int


def spoken(
    text: str, spans: Sequence[tuple[int, int]], phrasings: Sequence[Phrasing]
) -> list[Spoken]:
    """Find the sentences that speak of exactly one finding, in their order.

    Parameters
    ----------
    text : str
    spans : sequence of (int, int)
        Start and end of each sentence.
    phrasings : sequence of Phrasing
        Of the findings that are looked for.
    """
    found = []
    for start, end in spans:
        sentence = text[start:end]
        about = [one for one in phrasings if one.speaks(sentence)]
        if len(about) == 1:
            heading = _HEADING.match(sentence)
            words = start + (heading.end() if heading else 0)
            found.append(Spoken((start, end), about[0], about[0].fact(sentence), words))
    return found


def agrees(said: str, truth: str) -> bool:
    """Whether a fact is true; where one of both names no side, each side agrees with it."""
    return said == truth or (PRESENT in (said, truth) and ABSENT not in (said, truth))
