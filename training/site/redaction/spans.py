"""A stretch of a text that is to be replaced."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

Kind = Literal["NAME", "DATE", "TIME", "AGE", "ID", "PHONE", "EMAIL", "URL", "PLACE", "SIGNATURE"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, order=True)
class Change:
    """What is replaced by a placeholder, and why.

    Parameters
    ----------
    start, end : int
        Half open, in characters of the text.
    kind : str
        The placeholder is `[KIND]`.
    rule : str
        What found it.
    """

    start: int
    end: int
    kind: Kind
    rule: str

    @property
    def placeholder(self) -> str:
        return f"[{self.kind}]"


def merged(text: str, changes: Iterable[Change]) -> list[Change]:
    """Changes in order, none overlapping: the longer of two wins and takes in the other's end.

    Neighbours of one kind that only punctuation separates become one.
    """
    result: list[Change] = []
    for change in sorted(changes, key=lambda c: (c.start, -c.end)):
        last = result[-1] if result else None
        if last is not None and (change.start < last.end or _adjoin(text, last, change)):
            longer = max(last, change, key=lambda c: c.end - c.start)
            result[-1] = replace(longer, start=last.start, end=max(last.end, change.end))
        else:
            result.append(change)
    return result


def apply(text: str, changes: Sequence[Change], replacements: Sequence[str] | None = None) -> str:
    """Replace each change by its placeholder, or by the replacement given for it.

    Parameters
    ----------
    text : str
        What is changed.
    changes : sequence of Change
        In order, none over another.
    replacements : sequence of str
        One for each change.
    """
    put = [change.placeholder for change in changes] if replacements is None else replacements
    parts, end = [], 0
    for change, replacement in zip(changes, put, strict=True):
        parts += [text[end : change.start], replacement]
        end = change.end
    return "".join([*parts, text[end:]])


def _adjoin(text: str, one: Change, other: Change) -> bool:
    between = text[one.end : other.start]
    return one.kind == other.kind and len(between) <= 3 and not between.strip(" ,.-^/")


def in_placeholder(text: str, change: Change) -> bool:
    """Whether a change is a placeholder, or the word in one, and nothing else."""
    return text[max(0, change.start - 1) : change.end + 1].strip("[] ,.") in KINDS or (
        text[change.start : change.end].strip("[]") in KINDS
    )
