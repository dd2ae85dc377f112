"""What reports get right of CT-RATE's labels, and how grave their errors are."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.evaluation.findings.labels import CT_RATE, labels_of
from training.evaluation.findings.reader import Mention
from training.evaluation.findings.score import F1, PRECISION, RECALL, counts
from training.evaluation.metrics.bootstrap import Bootstrap, mean
from training.evaluation.printed.tables import Cell, Table

Array = NDArray[np.float64]
Reports = Sequence[Sequence[Mention]]
LEVELS = ("urgent", "significant", "minor")

_PARTS = 3  # true positives, false positives, false negatives


def label_table(
    draws: Bootstrap, references: Reports, predictions: Reports, title: str, name: str = "labels"
) -> Table:
    """Lay out precision, recall and F1 of each label, their macro F1, and CRG.

    Parameters
    ----------
    draws : Bootstrap
        Gives the intervals.
    references, predictions : sequence of sequences of Mention
        Mentions of each report, in the same order.
    title, name : str
        Heading and file of the table.
    """
    wanted, said = (_marks(reports) for reports in (references, predictions))
    parts = np.stack([wanted & said, said & ~wanted, wanted & ~said], axis=2).astype(np.float64)
    occurs = parts.sum(axis=(0, 2)) > 0
    rows: list[tuple[Cell, ...]] = [
        (
            label,
            str(int(wanted[:, at].sum())),
            str(int(said[:, at].sum())),
            *(draws.interval(parts[:, at], share).times(100) for share in (PRECISION, RECALL, F1)),
        )
        for at, label in enumerate(CT_RATE)
        if occurs[at]
    ]
    flat = parts.reshape(len(parts), -1)
    size = np.full((len(parts), 1), float(len(CT_RATE)))
    all_parts = np.concatenate([parts.sum(axis=1), size], axis=1)
    none = (None, None)
    rows += [
        ("macro F1", *none, *none, draws.interval(flat, macro_f1).times(100)),
        # without a label in any reference CRG is not defined
        ("CRG", *none, *none, draws.interval(all_parts, crg).times(100) if wanted.any() else None),
    ]
    columns = ("label", "in reference", "in texts", "precision", "recall", "F1")
    notes = (
        f"Labels as the finding reader reads them. Macro F1: over the {occurs.sum()} of "
        f"{len(CT_RATE)} labels that occur.",
        "CRG (Hamamci 2025): 100 is perfect; 33.3 is to assert nothing, or everything.",
    )
    return Table(name, title, columns, tuple(rows), notes)


def macro_f1(totals: Array) -> Array:
    """Unweighted mean of the F1 of the labels that occur; totals (..., 3 labels)."""
    scores = F1(totals.reshape(*totals.shape[:-1], -1, _PARTS))
    occur = np.isfinite(scores).sum(axis=-1)
    return np.asarray(np.nansum(scores, axis=-1) / np.where(occur == 0, np.nan, occur))


def crg(totals: Array) -> Array:
    """CRG of totals (true positives, false positives, false negatives, labels asked).

    With A labels that are there among X: U = (X - A) / 2, r = (X - A) / 2A,
    s = r TP - r FN - FP, CRG = U / (2U - s). A miss weighs the more, the rarer labels are.
    """
    tp, fp, fn, asked = np.moveaxis(totals, -1, 0)
    there = tp + fn
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = (asked - there) / 2
        weight = unit / there
        return np.asarray(unit / (2 * unit - (weight * (tp - fn) - fp)))


def severity_table(
    draws: Bootstrap,
    references: Reports,
    predictions: Reports,
    title: str,
    name: str = "severity",
) -> Table:
    """Lay out how many findings a report misses and invents, by how grave that is.

    Parameters
    ----------
    draws : Bootstrap
        Gives the intervals.
    references, predictions : sequence of sequences of Mention
        Mentions of each report, in the same order; a wrong side is wrong twice.
    title, name : str
        Heading and file of the table.
    """
    weights, levels = severities()
    names = tuple(levels)
    table = counts(references, predictions, names, "strict")
    invented, missed = table[..., 1], table[..., 2]

    def a_report(errors: Array) -> Cell:
        column = np.stack([errors, np.ones(len(errors))], axis=1)
        return draws.interval(column, mean, share=False)

    rows = []
    for level in LEVELS:
        chosen = np.array([levels[one] == level for one in names])
        rows.append(
            (
                level,
                str(weights[level]),
                *(a_report(e[:, chosen].sum(1)) for e in (missed, invented)),
            )
        )
    weighed = np.array([weights[levels[one]] for one in names], np.float64)
    rows.append(("weighted", None, *(a_report(errors @ weighed) for errors in (missed, invented))))
    notes = ("Errors a report. The weights are our own choice (severity.toml).",)
    return Table(name, title, ("severity", "weight", "missed", "invented"), tuple(rows), notes)


@cache
def severities() -> tuple[dict[str, int], dict[str, str]]:
    """Read `severity.toml`: the weight of each level, and the level of each finding."""
    path = Path(__file__).with_name("severity.toml")
    values = tomllib.loads(path.read_text("utf-8"))
    levels = {one: level for level in LEVELS for one in values["findings"][level]}
    return values["weights"], levels


def _marks(reports: Reports) -> NDArray[np.bool_]:
    return np.array([list(labels_of(mentions).values()) for mentions in reports], bool).reshape(
        len(reports), len(CT_RATE)
    )
