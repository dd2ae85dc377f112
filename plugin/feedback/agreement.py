"""A draft against what was signed: which findings agree, were changed, invented or missed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

# Two measurements of one thing differ by as much, or by a fifth (docs/finding-score.md)
TOLERANCE_MM, TOLERANCE = 2.0, 0.2

KINDS = ("agreed", "changed", "invented", "missed")


class Mention(Protocol):
    """A finding that a text names, as the finding reader reads it."""

    @property
    def finding(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def side(self) -> str | None: ...
    @property
    def size_mm(self) -> float | None: ...


@dataclass(frozen=True)
class Agreement:
    """What became of the findings of a draft; each in words, such as "left renal cyst 12 mm"."""

    agreed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    invented: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, list[str]]:
        """Plain lists, by `KINDS`."""
        return {kind: list(getattr(self, kind)) for kind in KINDS}


def agreement(drafted: Iterable[Mention], signed: Iterable[Mention]) -> Agreement:
    """Compare by finding, side and size; only what is asserted counts.

    A finding with another side or size was changed. What only the draft asserts was invented, what
    only the signed report asserts was missed.
    """
    left, wanted = _asserted(drafted), _asserted(signed)
    kinds: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for exact in (True, False):
        for one in list(wanted):
            partner = next((other for other in left if _fits(one, other, exact=exact)), None)
            if partner is not None:
                said = words(one) if exact else f"{words(partner)} → {words(one)}"
                kinds["agreed" if exact else "changed"].append(said)
                wanted.remove(one)
                left.remove(partner)
    kinds["invented"] += map(words, left)
    kinds["missed"] += map(words, wanted)
    return Agreement(**{kind: tuple(said) for kind, said in kinds.items()})


def words(mention: Mention) -> str:
    """A finding in words."""
    size = None if mention.size_mm is None else f"{mention.size_mm:g} mm"
    return " ".join(part for part in (mention.side, mention.finding, size) if part)


@dataclass
class Month:
    """The drafts of one model in one month that a signed report is known of.

    Parameters
    ----------
    model, month : str
        Its name, and the month of the drafts: 2026-11.
    drafts : int
        How many were drafted.
    compared : int
        Of how many the signed report is known.
    unchanged : int
        In how many of these every finding agrees.
    findings : dict of str to Counter
        How often each finding, without side and size, was agreed, changed, invented, missed.
    """

    model: str
    month: str
    drafts: int = 0
    compared: int = 0
    unchanged: int = 0
    findings: dict[str, Counter[str]] = field(
        default_factory=lambda: {kind: Counter() for kind in KINDS}
    )

    def add(self, compared: dict[str, Sequence[str]]) -> None:
        """Count one draft."""
        self.compared += 1
        self.unchanged += not any(compared[kind] for kind in KINDS if kind != "agreed")
        for kind in KINDS:
            self.findings[kind].update(map(_bare, compared[kind]))

    def count(self, kind: str) -> int:
        """How many findings of a kind there are."""
        return sum(self.findings[kind].values())


def _asserted(mentions: Iterable[Mention]) -> list[Mention]:
    """What is asserted, once each: an impression says again what the findings say."""
    kept: list[Mention] = []
    asserted = [one for one in mentions if one.status == "present"]
    for one in sorted(asserted, key=lambda m: (m.side is None, m.size_mm is None)):
        if not any(_repeats(one, other) for other in kept):
            kept.append(one)
    return kept


def _repeats(one: Mention, other: Mention) -> bool:
    return (
        one.finding == other.finding
        and one.side in (None, other.side)
        and (one.size_mm is None or _near(one.size_mm, other.size_mm))
    )


def _fits(signed: Mention, drafted: Mention, *, exact: bool) -> bool:
    if signed.finding != drafted.finding:
        return False
    if not exact:
        return True
    same_size = (
        signed.size_mm is None or drafted.size_mm is None or _near(signed.size_mm, drafted.size_mm)
    )
    return signed.side == drafted.side and same_size


def _near(one: float, other: float | None) -> bool:
    return other is not None and abs(one - other) <= max(TOLERANCE_MM, TOLERANCE * one)


def _bare(said: str) -> str:
    """The finding alone, of "left renal cyst 12 mm" or of "left … → right …"."""
    last = said.rpartition(" → ")[2].removeprefix("left ").removeprefix("right ")
    name, _, unit = last.rpartition(" ")
    return name.rpartition(" ")[0] if unit == "mm" else last
