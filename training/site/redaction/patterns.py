"""Identifiers by their form or by the words around them: the rules of `rules.toml`, compiled."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import regex

from training.site.redaction.spans import Kind


@dataclass(frozen=True)
class Rule:
    """A pattern; its group `told`, where it has one, is what is replaced.

    Parameters
    ----------
    name : str
        What the review list says.
    kind : str
        Of what it finds.
    pattern : regex.Pattern
    folded : bool
        Whether folded text is searched, where there is neither case nor diacritics.
    """

    name: str
    kind: Kind
    pattern: regex.Pattern[str]
    folded: bool


def _rules() -> tuple[Rule, ...]:
    tables = tomllib.loads((files("training.site.redaction") / "rules.toml").read_text("utf-8"))
    parts: dict[str, str] = {}
    for name, pattern in tables["parts"].items():
        parts[name] = f"(?:{_filled(pattern, parts)})"
    return tuple(_rule(table, parts) for table in tables["rule"])


def _rule(table: Mapping[str, Any], parts: Mapping[str, str]) -> Rule:
    flags = regex.VERBOSE | regex.MULTILINE
    if table.get("any_case"):
        flags |= regex.IGNORECASE
    pattern = regex.compile(_filled(table["pattern"], parts), flags)
    return Rule(table["name"], table["kind"], pattern, table["on"] == "folded")


def _filled(pattern: str, parts: Mapping[str, str]) -> str:
    """Put the parts, each known by then, in the places of their names."""
    for name, part in parts.items():
        pattern = pattern.replace(f"{{{name}}}", part)
    return pattern


RULES = _rules()
