"""Find what identifies in a report, and replace it by typed placeholders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from training.site.folding import fold
from training.site.gazetteer import persons, towns
from training.site.known import KnownValues
from training.site.matching import known_values
from training.site.patterns import RULES
from training.site.spans import KINDS, Change, Kind, apply, merged

__all__ = ["KINDS", "Change", "Kind", "KnownValues", "Recognizer", "apply", "find_identifiers"]


class Recognizer(Protocol):
    """A model that names persons, places and the like; the rules work without one."""

    def __call__(self, text: str) -> Iterable[Change]: ...


def find_identifiers(
    text: str, known: KnownValues, recognizers: Sequence[Recognizer] = ()
) -> list[Change]:
    """Find names, dates, times, numbers, places and signatures.

    Parameters
    ----------
    text : str
        A report, `folding.tidied`.
    known : KnownValues
        What the headers of its study hold: these are found in any spelling, and whether or not
        they are also ordinary words.
    recognizers : sequence of Recognizer
        Add to what the rules find.

    Returns
    -------
    list of Change
        In order, none overlapping.
    """
    found = [*known_values(text, known), *general_identifiers(text), *persons(text)]
    found += towns(text, [change for change in found if change.kind == "PLACE"])
    for recognizer in recognizers:
        found += recognizer(text)
    return merged(text, (trimmed for change in found if (trimmed := _trimmed(text, change))))


def general_identifiers(text: str) -> Iterator[Change]:
    """Find what can be told without knowing whose report it is."""
    compared = fold(text)
    for rule in RULES:
        searched = compared.text if rule.folded else text
        for match in rule.pattern.finditer(searched):
            told = "told" in rule.pattern.groupindex and match.group("told") is not None
            start, end = match.span("told" if told else 0)
            if start == end:
                continue
            if rule.folded:
                start, end = compared.span(start, end)
            yield Change(start, end, rule.kind, rule.name)


def _trimmed(text: str, change: Change) -> Change | None:
    """The change without white space at its ends; None where nothing else is in it."""
    inner = text[change.start : change.end].strip()
    if not inner:
        return None
    start = text.index(inner, change.start)
    return replace(change, start=start, end=start + len(inner))
