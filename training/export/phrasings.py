"""How models of phantoms speak of their findings: `engine.judgement.phrasing`."""

from __future__ import annotations

from collections.abc import Sequence

from dicom_io.phantoms.truth import FINDINGS, Truth
from engine.judgement.phrasing import ABSENT, PRESENT, Phrasing
from training.data.phantoms.text import facts, statements
from training.data.questions import presence


def phantom_phrasings(findings: Sequence[str] = FINDINGS) -> tuple[Phrasing, ...]:
    """Return all sentences by which a model of phantoms states each fact of its findings."""
    known: dict[str, dict[str, tuple[str, ...]]] = {name: {} for name in findings}
    for said in statements(findings):
        name, side = said.fact
        if name in known:
            known[name][_fact(side)] = said.wordings
    return tuple(
        Phrasing(finding=name, terms=(name,), facts=wordings) for name, wordings in known.items()
    )


def phantom_questions(findings: Sequence[str] = FINDINGS) -> tuple[Phrasing, ...]:
    """Return what asks a model of phantoms for its findings, in place of their sentences."""
    return tuple(
        Phrasing(
            finding=one.finding,
            terms=_terms(one),
            question=presence("", one.finding, there=True).question,
        )
        for one in phantom_phrasings(findings)
    )


def phantom_facts(truth: Truth) -> dict[str, str]:
    """Return the true fact of each finding that a phantom can show."""
    return {name: _fact(side) for name, side in facts(truth)[2:]}


def _fact(side: str | None) -> str:
    return PRESENT if side is None else ABSENT if side == "none" else side


def _terms(phrasing: Phrasing) -> tuple[str, ...]:
    """Return the finding's name, and the sentences that speak of it without."""
    said = (one.lower() for wordings in phrasing.facts.values() for one in wordings)
    return (*phrasing.terms, *(one for one in said if phrasing.finding not in one))
