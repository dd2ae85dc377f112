"""The words for findings, and the organs that they are said of; `terms.toml` holds them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Term:
    """How a finding may be worded, and what of it counts."""

    finding: str
    pattern: re.Pattern[str]
    sided: bool
    sized: bool
    organs: frozenset[str]
    unnamed: bool
    unless: re.Pattern[str] | None


@dataclass(frozen=True)
class Vocabulary:
    """The terms of every finding, and the organs that decide what a general term means."""

    terms: tuple[Term, ...]
    organs: Mapping[str, re.Pattern[str]]
    parts: Mapping[str, re.Pattern[str]]

    @property
    def findings(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(term.finding for term in self.terms))


@cache
def default_vocabulary() -> Vocabulary:
    """Read `terms.toml`."""
    path = Path(__file__).with_name("terms.toml")
    return parse_vocabulary(tomllib.loads(path.read_text("utf-8")))


def parse_vocabulary(values: Mapping[str, Any]) -> Vocabulary:
    """Compile what a vocabulary file holds."""
    organs = {name: _word(pattern) for name, pattern in values["organs"].items()}
    parts = {name: _word(pattern) for name, pattern in values.get("parts", {}).items()}
    any_organ = "|".join(values["organs"].values())
    terms = tuple(
        Term(
            finding=finding,
            pattern=_term(pattern, any_organ),
            sided=entry.get("sided", False),
            sized=entry.get("sized", False),
            organs=frozenset(entry.get("organs", ())),
            unnamed=entry.get("unnamed", False),
            unless=_word(entry["unless"]) if "unless" in entry else None,
        )
        for finding, entry in values["findings"].items()
        for pattern in entry["terms"]
    )
    return Vocabulary(terms, organs, parts)


def _term(pattern: str, any_organ: str) -> re.Pattern[str]:
    """Compile a term; ` ~ ` stands for listed organs and a few words that name no organ."""
    listed = rf"(?:,? (?:and |or )?(?:the )?(?:{any_organ}))*"
    gap = rf"{listed} (?:(?!(?:{any_organ})\b)[\w/-]+ ){{0,8}}?"
    before, *after = pattern.split(" ~ ")
    return _word(before.replace(" ", "[ -]") + "".join(gap + a.replace(" ", "[ -]") for a in after))


def _word(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{pattern})\b")
