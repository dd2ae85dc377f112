"""Attribute matching of QIDO-RS (PS3.18 8.3.4.1, PS3.4 C.2.2.2) on DICOM JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fnmatch import translate
from typing import Any

Attributes = Mapping[str, Any]
_RANGED = ("DA", "TM", "DT")
# PS3.4 C.2.2.2.4: these VRs know no wildcard
_NO_WILDCARD = frozenset(("DA", "TM", "DT", "UI", "IS", "DS", "SS", "US", "SL", "UL", "FL", "FD"))


def matches(attributes: Attributes, wanted: Mapping[str, str]) -> bool:
    """Whether the attributes of a study, series or instance are those that are asked for.

    Parameters
    ----------
    attributes : mapping
        DICOM JSON.
    wanted : mapping
        What is asked for, by tag.
    """
    return all(_matches(attributes.get(tag, {}), value) for tag, value in wanted.items())


def _matches(element: Attributes, wanted: str) -> bool:
    if wanted in ("", "*"):
        return True  # universal matching
    vr, values = element.get("vr", ""), element.get("Value", [])
    accepts = _acceptance(vr, wanted)
    return any(accepts(text) for value in values for text in _texts(value))


def _texts(value: Any) -> list[str]:
    """A value as text; the groups of a person's name one by one."""
    if isinstance(value, dict):
        return [str(group).rstrip("^") for group in value.values()]
    return [str(value)]


def _acceptance(vr: str, wanted: str) -> Callable[[str], bool]:
    if vr in _RANGED and "-" in wanted:
        first, last = wanted.split("-", 1)
        # The end counts as a whole: 20260131 until it ends, 09 with all its minutes
        return lambda text: first <= text and (not last or text[: len(last)] <= last)
    if vr == "UI":
        listed = frozenset(re.split(r"[,\\]", wanted))
        return lambda text: text in listed
    if vr == "PN":
        # A name without wildcard is one as a person types it: case does not count
        pattern = re.compile(translate(_plain(wanted).rstrip("^")), re.IGNORECASE)
        return lambda text: pattern.match(text) is not None
    if vr in _NO_WILDCARD:
        return lambda text: text == wanted
    pattern = re.compile(translate(_plain(wanted)))
    return lambda text: pattern.match(text) is not None


def _plain(wanted: str) -> str:
    """Take the brackets out that mean something to `fnmatch` and nothing to DICOM."""
    return wanted.replace("[", "[[]")
