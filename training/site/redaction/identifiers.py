"""Find what identifies in a report, and replace it by typed placeholders."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any, Protocol

import regex

from training.site.deidentify.folding import fold, folded, spaced
from training.site.deidentify.known import KnownValues
from training.site.redaction.gazetteer import is_ordinary, persons, strange_words, towns
from training.site.redaction.known_values import known_values
from training.site.redaction.near_names import listed_names
from training.site.redaction.site_list import SiteList
from training.site.redaction.spans import Change, Kind, apply, in_placeholder, merged

_FILES = ("numbers", "dates", "people", "places")
_ROUNDS = 5
"""Of looking again at the text with placeholders; the second one finds nothing, as a rule."""


_INITIALS = regex.compile(r"(?<![\p{L}.])(?:\p{Lu}\.[ -]?){1,3}\Z")


class Recognizer(Protocol):
    """A model that names persons, places and the like; the rules work without one.

    It is asked once, about the text as it was written: it knows no placeholders.
    """

    def __call__(self, text: str) -> Iterable[Change]: ...


@dataclass(frozen=True)
class Rule:
    """A pattern of `rules/`; its group `told`, where it has one, is what is replaced.

    Patterns are verbose; a part of `rules/parts.toml` stands where its name stands in braces. Rules
    are `on` raw text, or on folded text, where there is neither case nor diacritics; the letters of
    their patterns are folded too. `any_case` is for patterns on raw text, where capitals count
    otherwise. A `weak` rule passes over what is a word of reports.
    """

    name: str
    kind: Kind
    pattern: regex.Pattern[str]
    folded: bool
    weak: bool


def _rules() -> tuple[Rule, ...]:
    parts: dict[str, str] = {}
    for name, pattern in _toml("parts").items():
        parts[name] = f"(?:{_filled(pattern, parts)})"
    tables = (table for name in _FILES for table in _toml(name)["rule"])
    return tuple(_rule(table, parts) for table in tables)


def _toml(name: str) -> dict[str, Any]:
    folder = files("training.site.redaction") / "rules"
    return tomllib.loads((folder / f"{name}.toml").read_text("utf-8"))


def _rule(table: Mapping[str, Any], parts: Mapping[str, str]) -> Rule:
    flags = regex.VERBOSE | regex.MULTILINE
    if table.get("any_case"):
        flags |= regex.IGNORECASE
    is_folded = table["on"] == "folded"
    pattern = _filled(table["pattern"], parts)
    pattern = regex.compile(_folded_literals(pattern) if is_folded else pattern, flags)
    return Rule(table["name"], table["kind"], pattern, is_folded, table.get("weak", False))


def _folded_literals(pattern: str) -> str:
    """A pattern for folded text: its letters beyond ASCII as they stand there."""
    return "".join(c if c.isascii() else regex.escape(folded(c)) for c in pattern)


def _filled(pattern: str, parts: Mapping[str, str]) -> str:
    """Put the parts, each known by then, in the places of their names."""
    for name, part in parts.items():
        pattern = pattern.replace(f"{{{name}}}", part)
    return pattern


_RULES = _rules()


def find_identifiers(
    text: str,
    known: KnownValues,
    recognizers: Sequence[Recognizer] = (),
    site: SiteList | None = None,
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
    site : SiteList, optional
        Names of the site's staff, and words that are none.

    Returns
    -------
    list of Change
        In order, none overlapping.
    """
    proposed = [change for recognizer in recognizers for change in recognizer(text)]
    site = site or SiteList()
    found = [*_found(text, known), *_all_trimmed(text, proposed), *listed_names(text, site.names)]
    changes = merged(text, site.without_no_names(text, found))
    for _ in range(_ROUNDS):
        # a placeholder may show what the word beside it is
        more = list(site.without_no_names(text, _found_beside(text, changes, known)))
        if not more:
            break
        changes = merged(text, [*changes, *more])
    return changes


def _found(text: str, known: KnownValues) -> Iterator[Change]:
    found = [*known_values(text, known), *general_identifiers(text), *persons(text)]
    found += towns(text, [change for change in found if change.kind == "PLACE"])
    found += strange_words(text)
    return _all_trimmed(text, found)


def _found_beside(text: str, changes: Sequence[Change], known: KnownValues) -> list[Change]:
    """What is found in the text with placeholders and was not in the original, as its spans."""
    changed = apply(text, changes)
    places = _places(text, changes)
    more = []
    for change in _found(changed, known):
        if not in_placeholder(changed, change):
            start, end = places[change.start], places[change.end - 1] + 1
            more.append(replace(change, start=start, end=end))
    return more


def _places(text: str, changes: Sequence[Change]) -> list[int]:
    """Where each character of the changed text comes from; a placeholder from where it begins."""
    places: list[int] = []
    end = 0
    for change in changes:
        places += range(end, change.start)
        width = len(change.placeholder)
        places += [change.start] * (width - 1) + [change.end - 1]
        end = change.end
    return [*places, *range(end, len(text))]


def general_identifiers(text: str) -> Iterator[Change]:
    """Find what can be told without knowing whose report it is."""
    as_compared, as_written = fold(text), spaced(text)
    for rule in _RULES:
        searched = as_compared if rule.folded else as_written
        for match in rule.pattern.finditer(searched.text):
            told = "told" in rule.pattern.groupindex and match.group("told") is not None
            inner = match.span("told" if told else 0)
            if not searched.text[slice(*inner)].strip():
                continue
            start, end = searched.span(*inner)
            if not (rule.weak and is_ordinary(text, start, end)):
                yield Change(start, end, rule.kind, rule.name)


def _all_trimmed(text: str, changes: Iterable[Change]) -> Iterator[Change]:
    yield from (trimmed for change in changes if (trimmed := _trimmed(text, change)))


def _trimmed(text: str, change: Change) -> Change | None:
    """The change without white space at its ends; None where nothing else is in it.

    Initials before a name belong to it.
    """
    inner = text[change.start : change.end].strip()
    if not inner:
        return None
    start = text.index(inner, change.start)
    end = start + len(inner)
    if change.kind == "NAME" and (initials := _INITIALS.search(text, 0, start)):
        start = initials.start()
    return replace(change, start=start, end=end)
