"""Regular expressions that can take for ever, told from the others before a header meets them.

A repetition of parts that one text may be divided into in several ways tries all of them on a text
that does not match in the end. What the library `re` reads of a pattern is looked at, as it shows
its own reading nowhere else; where it cannot be told, a pattern counts as endless.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_REPETITIONS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")
# So many rounds of something short are soon tried in every way
_FEW = 9
_Item = tuple[Any, Any]


def can_take_for_ever(pattern: str) -> bool:
    """Whether a pattern repeats what one text may be divided into in several ways."""
    parsed: Any = re._parser.parse(pattern)  # type: ignore[attr-defined]
    repeated = (
        (rounds[1], list(rounds[2]))
        for operation, rounds in _items(parsed)
        if str(operation) in _REPETITIONS and rounds[1] > 1
    )
    return any(
        _is_ambiguous(body)
        for most, body in repeated
        if most > _FEW or any(map(_is_long, _items(body)))
    )


def _items(pattern: Any) -> Iterator[_Item]:
    """Yield every item of a pattern, and those inside it."""
    for item in pattern:
        yield item
        for inner in _inside(item):
            yield from _items(inner)


def _inside(item: _Item) -> Iterator[Any]:
    """Yield the patterns that an item is made of."""
    argument = item[1]
    for part in argument if isinstance(argument, tuple | list) else (argument,):
        if hasattr(part, "getwidth"):
            yield part
        elif isinstance(part, list):  # alternatives
            yield from (one for one in part if hasattr(one, "getwidth"))


def _is_ambiguous(body: list[_Item]) -> bool:
    """Whether one text may be different numbers of rounds, or a round different things."""
    while len(body) == 1 and str(body[0][0]) == "SUBPATTERN":
        body = list(body[0][1][3])
    if not any(map(_varies, _items(body))):
        return False
    # A round that ends with a character that is nowhere else in it ends where that stands
    operation, end = body[-1]
    before = list(_items(body[:-1]))
    return str(operation) != "LITERAL" or any(_matches(item, end) for item in before)


def _varies(item: _Item) -> bool:
    operation, argument = str(item[0]), item[1]
    if operation in _REPETITIONS:
        return bool(argument[0] != argument[1])
    if operation != "BRANCH":
        return False
    firsts = [next(iter(one), ("", 0)) for one in argument[1]]
    letters = {chr(value).lower() for kind, value in firsts if str(kind) == "LITERAL"}
    return len(letters) < len(firsts)


def _is_long(item: _Item) -> bool:
    return str(item[0]) in _REPETITIONS and item[1][1] > _FEW


def _matches(item: _Item, character: int) -> bool:
    """Whether a single item, which is made of no others, can be a character."""
    if str(item[0]) not in ("LITERAL", "NOT_LITERAL", "IN", "ANY"):
        return False
    one = re._parser.SubPattern(re._parser.State(), [item])  # type: ignore[attr-defined]
    compiled: Any = re._compiler.compile(one, re.IGNORECASE)  # type: ignore[attr-defined]
    return compiled.match(chr(character)) is not None
