"""How well the findings of reports agree: precision, recall, F1, strict and lenient.

N-gram metrics hide a wrong side; this score does not (docs/finding-score.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dicom_io.phantoms.truth import Truth
from training.evaluation.findings.reader import SIDES, Mention
from training.evaluation.metrics.bootstrap import Bootstrap
from training.evaluation.printed.tables import Cell, Table

Array = NDArray[np.float64]
Mode = Literal["strict", "lenient"]

TOLERANCE_MM, TOLERANCE = 2.0, 0.2
"""Sizes agree that differ by no more than 2 mm, or a fifth of the reference if that is more."""


class Counts(NamedTuple):
    """What was found, said too much, and missed: of one finding or of all together."""

    true_positives: int
    false_positives: int
    false_negatives: int


def compare(reference: Iterable[Mention], prediction: Iterable[Mention], mode: Mode) -> Counts:
    """Compare the mentions of one finding in one report.

    Strict: each mention that is present must have a partner with its side, and its size where the
    reference states one. A wrong side is wrong twice. Lenient: the finding is named or not.

    Parameters
    ----------
    reference, prediction : iterable of Mention
        What the report says, and what was written.
    mode : Mode
        Strict or lenient.
    """
    if mode == "lenient":
        wanted, said = (_is_named(mentions) for mentions in (reference, prediction))
        return Counts(int(wanted and said), int(said and not wanted), int(wanted and not said))
    left = _distinct(prediction)
    missed = 0
    wanted_ones = _distinct(reference)
    for wanted_one in wanted_ones:
        partner = next((other for other in left if _agrees(wanted_one, other)), None)
        if partner is None:
            missed += 1
        else:
            left.remove(partner)
    return Counts(len(wanted_ones) - missed, len(left), missed)


def true_mentions(truth: Truth) -> list[Mention]:
    """Return what a perfect report of a phantom names."""
    return [
        Mention(finding.name, "present", side, finding.size_mm)
        for finding in truth.findings
        for side in (SIDES if finding.side == "bilateral" else (finding.side,))
    ]


def counts(
    references: Sequence[Sequence[Mention]],
    predictions: Sequence[Sequence[Mention]],
    findings: Sequence[str],
    mode: Mode,
) -> Array:
    """Count every report: shape (reports, findings, 3), the last axis as in `Counts`.

    Parameters
    ----------
    references, predictions : sequence of sequences of Mention
        Mentions of each report, in the same order.
    findings : sequence of str
        Which are counted.
    mode : Mode
        Strict or lenient.
    """
    table = np.zeros((len(references), len(findings), 3))
    for row, wanted, said in zip(table, references, predictions, strict=True):
        for entry, name in zip(row, findings, strict=True):
            entry[:] = compare(_of(name, wanted), _of(name, said), mode)
    return table


def finding_table(
    draws: Bootstrap,
    references: Sequence[Sequence[Mention]],
    predictions: Sequence[Sequence[Mention]],
    findings: Sequence[str],
    title: str,
    name: str = "findings",
) -> Table:
    """Lay out each finding that occurs, and all of them together (micro average).

    Parameters
    ----------
    draws : Bootstrap
        Gives the intervals.
    references, predictions : sequence of sequences of Mention
        Mentions of each report, in the same order.
    findings : sequence of str
        Which are counted.
    title, name : str
        Heading and file of the table.
    """
    modes: tuple[Mode, ...] = ("strict", "lenient")
    by_mode = {mode: counts(references, predictions, findings, mode) for mode in modes}
    occurs = by_mode["lenient"].sum(axis=(0, 2)) > 0
    shown = [*np.flatnonzero(occurs), slice(None)]
    rows = tuple(
        (
            "all" if isinstance(at, slice) else findings[at],
            *(str(n) for n in _support(by_mode["lenient"], at)),
            *(figure for mode in modes for figure in _figures(draws, by_mode[mode], at)),
        )
        for at in shown
    )
    figures = tuple(f"{mode} {part}" for mode in modes for part in ("precision", "recall", "F1"))
    return Table(name, title, ("finding", "in reference", "in texts", *figures), rows)


def _support(table: Array, at: int | slice) -> tuple[int, int]:
    tp, fp, fn = table[:, at].reshape(len(table), -1, 3).sum(axis=(0, 1))
    return int(tp + fn), int(tp + fp)


def _figures(draws: Bootstrap, table: Array, at: int | slice) -> tuple[Cell, ...]:
    """Return precision, recall and F1 in percent: of true positives among three wholes."""
    items = table[:, at].reshape(len(table), -1, 3).sum(axis=1)
    return tuple(draws.interval(items, share).times(100) for share in (PRECISION, RECALL, F1))


@dataclass(frozen=True, eq=False)
class Share:
    """True positives over a weighted sum of totals (..., 3); nothing of something is 0.

    NaN where a finding is neither there nor named: a draw without it says nothing about it.
    """

    weights: Array

    def __call__(self, totals: Array) -> Array:
        whole = totals @ self.weights
        share = totals[..., 0] / np.where(whole == 0, np.inf, whole)
        return np.where(totals.any(axis=-1), share, np.nan)


PRECISION = Share(np.array([1.0, 1.0, 0.0]))
RECALL = Share(np.array([1.0, 0.0, 1.0]))
F1 = Share(np.array([1.0, 0.5, 0.5]))


def _of(name: str, mentions: Iterable[Mention]) -> list[Mention]:
    return [mention for mention in mentions if mention.finding == name]


def _is_named(mentions: Iterable[Mention]) -> bool:
    return any(mention.status != "absent" for mention in mentions)


def _distinct(mentions: Iterable[Mention]) -> list[Mention]:
    """Leave out what is not asserted, and what an impression says again.

    A mention without side or size says nothing that one with them does not.
    """
    kept: list[Mention] = []
    for mention in sorted(
        (m for m in mentions if m.status == "present"),
        key=lambda m: (m.side is None, m.size_mm is None),
    ):
        if not any(_repeats(mention, other) for other in kept):
            kept.append(mention)
    return kept


def _repeats(mention: Mention, other: Mention) -> bool:
    same_side = mention.side in (None, other.side)
    same_size = mention.size_mm is None or (
        other.size_mm is not None and _sizes_agree(other.size_mm, mention.size_mm)
    )
    return same_side and same_size


def _agrees(reference: Mention, prediction: Mention) -> bool:
    if reference.side != prediction.side:
        return False
    if reference.size_mm is None:
        return True
    return prediction.size_mm is not None and _sizes_agree(reference.size_mm, prediction.size_mm)


def _sizes_agree(reference: float, other: float) -> bool:
    return abs(reference - other) <= max(TOLERANCE_MM, TOLERANCE * reference)
