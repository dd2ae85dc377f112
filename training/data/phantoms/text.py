"""What is said of a phantom: statements with their truth, and reports in varied wording."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dicom_io.phantoms.detailed.findings import DETAILED_FINDINGS, IN_VIEW
from dicom_io.phantoms.truth import FINDINGS, PHASES, PLANES, Kind, Truth
from training.data.wordings import TAUGHT, pick

Fact = tuple[str, str | None]
"""A finding or "plane"/"phase" with its side or value; the side is "none" for an absent finding."""

EFFUSION = "pleural effusion"
NORMAL = ("No abnormality of the chest or abdomen.", "No abnormality is seen.")
PROMPT = "Write the report of this study."


@dataclass(frozen=True)
class Statement:
    """One sentence about a study that is either true or false of it."""

    fact: Fact
    wordings: tuple[str, ...]

    def holds(self, truth: Truth) -> bool:
        return self.fact in facts(truth)


FINDINGS_OF: dict[Kind, tuple[str, ...]] = {"plain": FINDINGS, "detailed": DETAILED_FINDINGS}
"""What phantoms of each kind may show."""


def in_view(truth: Truth) -> tuple[str, ...]:
    """Return the findings that can be there or not; of others nobody knows."""
    return FINDINGS if truth.region is None else IN_VIEW[truth.region]


def facts(truth: Truth) -> tuple[Fact, ...]:
    """List plane, phase and, for every finding, its side, None where it has none, or "none"."""
    found = {finding.name: finding.side for finding in truth.findings}
    return (
        ("plane", truth.plane),
        ("phase", truth.phase),
        *((name, found.get(name, "none")) for name in in_view(truth)),
    )


def statements(findings: Sequence[str] = FINDINGS) -> tuple[Statement, ...]:
    """Every statement the model is taught: planes, phases, each finding present and absent."""
    present, absent, sided = (
        {name: said for name, said in TAUGHT[table].items() if name in findings}
        for table in ("present", "absent", "sided")
    )
    return (
        *(Statement(("plane", plane), (f"This is an {plane} study.",)) for plane in PLANES),
        *(Statement(("phase", phase), (f"The phase is {phase}.",)) for phase in PHASES),
        *(Statement((name, None), tuple(said)) for name, said in present.items()),
        *(Statement((EFFUSION, side), tuple(said)) for side, said in TAUGHT["effusion"].items()),
        *(
            Statement((name, side), tuple(words.format(side=side) for words in said))
            for name, said in sided.items()
            for side in ("left", "right")
        ),
        *(Statement((name, "none"), tuple(said)) for name, said in absent.items()),
    )


_WORDINGS = {said.fact: said.wordings for said in statements(DETAILED_FINDINGS)}


def report_text(truth: Truth, rng: np.random.Generator) -> str:
    """Write a report of a phantom: one sentence an organ, wording drawn at random."""
    sentences = [pick(_WORDINGS[fact], rng) for fact in facts(truth)[2:]]
    impression = list(_conclusions(truth)) or [pick(NORMAL, rng)]
    return (
        f"Technique: {truth.plane}, {truth.phase}. "
        f"Findings: {' '.join(sentences)} Impression: {' '.join(impression)}"
    )


def facts_text(truth: Truth) -> str:
    """Name the facts in a fixed order; the language model is taught to write a report of them."""
    words: list[str] = [truth.plane, truth.phase]
    for name, side in facts(truth)[2:]:
        if side == "none":
            words.append(f"no {name}")
        else:
            words.append(name if side is None else f"{side} {name}")
    return ", ".join(words)


def _conclusions(truth: Truth) -> Iterator[str]:
    for finding in truth.findings:
        words = finding.name if finding.side is None else f"{finding.side} {finding.name}"
        yield f"{words[0].upper()}{words[1:]}{'s' if finding.side == 'bilateral' else ''}."
