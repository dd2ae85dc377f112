"""What the paper says of each comparison, and what is found here: both computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training.ablation.scoring import CORRECT, Array, Scores, Scoring, recall_name
from training.ablation.variants import RETRIEVAL, ROWS, Model, Pair
from training.data.questions import TYPES
from training.evaluation import published
from training.evaluation.items import Item
from training.evaluation.metrics.bootstrap import (
    Bootstrap,
    Interval,
    mean,
    mean_of_means,
    summed,
    summed_by,
)
from training.evaluation.published import DIRECTIONS
from training.evaluation.tables import Cell, Table

REPORTS, OPEN, CLOSED = (5, 9), (6, 10), (7, 11)
MEAN = "Mean"
METEOR = "METEOR"

BySeed = Mapping[Pair | Model, Mapping[str, Sequence[Scores]]]
"""Of each variant, by what it was tested on ("reports", "open", "closed", "pairs"), each seed's."""


@dataclass(frozen=True)
class Comparison:
    """The second system minus the first, in percent.

    Parameters
    ----------
    table : int
    first, second : str
        What is compared, as a reader calls it.
    figure : str
        What is measured here.
    paper : float
    here : Interval
    by_seed : tuple of float
        The same of each seed alone.
    """

    table: int
    first: str
    second: str
    figure: str
    paper: float
    here: Interval
    by_seed: tuple[float, ...]

    @property
    def outcome(self) -> str:
        """Whether the direction is the paper's; undecided where the interval holds 0."""
        if self.here.low <= 0 <= self.here.high:
            return "undecided"
        return "as in the paper" if self.here.value * self.paper > 0 else "the other way round"

    def sentence(self) -> str:
        """Say both in words."""
        seeds = ", ".join(f"{value:+.2f}" for value in self.by_seed)
        apart = f"; by seed {seeds}" if len(self.by_seed) > 1 else ""
        return (
            f"{self.figure}. Paper: {_direction(self, self.paper)} ({self.paper:+.2f}). "
            f"Here: {_direction(self, self.here.value)}, difference "
            f"{self.here.value:+.2f} [{self.here.low:+.2f}, {self.here.high:+.2f}]{apart}: "
            f"{self.outcome}."
        )


def comparisons(scoring: Scoring, scores: BySeed, tables: Sequence[int]) -> list[Comparison]:
    """Compare in each table what the paper proposes with everything else."""
    found: list[Comparison] = []
    for table in tables:
        found += (
            _of_pairs(scoring, scores) if table == RETRIEVAL else _of_models(table, scoring, scores)
        )
    return found


def said(found: Sequence[Comparison], table: str) -> list[str]:
    """Return the sentences on a table of this name."""
    return [c.sentence() for c in found if table == f"table{c.table}"]


def comparison_table(found: Sequence[Comparison]) -> Table:
    """Lay out all of them."""
    columns = ("table", "second minus first", "figure", "paper", "here", "outcome")
    rows: list[tuple[Cell, ...]] = [
        (str(c.table), f"{c.second} − {c.first}", c.figure, c.paper, c.here, c.outcome)
        for c in found
    ]
    notes = (
        "Percentage points; positive where the second is better, as the paper says of each.",
        "undecided: the 95 % interval (paired bootstrap by case, of the trained models as they "
        "are) holds 0. What another seed would train is not in the interval.",
    )
    return Table("comparisons", "What was found, beside the paper", columns, tuple(rows), notes)


def _of_pairs(scoring: Scoring, scores: BySeed) -> Iterator[Comparison]:
    """SigLIP minus CLIP with each tower, DCFormer minus ViT3D with each loss."""
    n = scoring.pools[-1]
    draws = draws_of(scoring.pairs)
    largest = published.printed(RETRIEVAL)["samples"][-1]
    for first, second in (
        (Pair("ViT3D", "clip"), Pair("ViT3D", "siglip")),
        (Pair("DCFormer", "clip"), Pair("DCFormer", "siglip")),
        (Pair("ViT3D", "clip"), Pair("DCFormer", "clip")),
        (Pair("ViT3D", "siglip"), Pair("DCFormer", "siglip")),
    ):
        for words, label in DIRECTIONS:
            a, b = (_recall(pair, label) for pair in (first, second))
            name = recall_name(label, 1, n)
            yield _compared(
                table=RETRIEVAL,
                names=(first.name, second.name),
                figure=f"R@1 {words} of {n} (paper: of {largest})",
                paper=b - a,
                draws=draws,
                totals=[[summed(s[name]) for s in scores[p]["pairs"]] for p in (first, second)],
            )


def _of_models(table: int, scoring: Scoring, scores: BySeed) -> Iterator[Comparison]:
    """The full model, which is the last row, minus each other one."""
    *others, full = ROWS[table]
    for place, row in enumerate(others):
        yield _compared(
            table=table,
            names=(row.words, full.words),
            figure=_figure(table),
            paper=_printed(table, len(others)) - _printed(table, place),
            draws=draws_of(_items(table, scoring)),
            totals=[_totals(table, scoring, scores[r.model]) for r in (row, full)],
            means=table not in REPORTS,
        )


def _compared(
    *,
    table: int,
    names: tuple[str, str],
    figure: str,
    paper: float,
    draws: Bootstrap,
    totals: Sequence[Sequence[Array]],
    means: bool = False,
) -> Comparison:
    statistic = mean_of_means if means else mean
    first, second = (np.mean(of_seeds, axis=0) for of_seeds in totals)
    pairs = zip(*totals, strict=True)
    alone = (statistic(b.sum(axis=0)) - statistic(a.sum(axis=0)) for a, b in pairs)
    here = draws.difference(first, second, statistic).times(100)
    by_seed = tuple(float(value) * 100 for value in alone)
    return Comparison(table, *names, figure, round(paper, 2), here, by_seed)


def _totals(table: int, scoring: Scoring, tested: Mapping[str, Sequence[Scores]]) -> list[Array]:
    if table in REPORTS:
        return [summed(scores[METEOR]) for scores in tested["reports"]]
    task, metric = ("open", METEOR) if table in OPEN else ("closed", CORRECT)
    types = [item.type for item in scoring.asked(task)]
    present = [name for name in TYPES.values() if name in types]
    return [summed_by(types, present, scores[metric]) for scores in tested[task]]


def _items(table: int, scoring: Scoring) -> list[Item]:
    if table in REPORTS:
        return scoring.reports
    return scoring.asked("open" if table in OPEN else "closed")


def _figure(table: int) -> str:
    if table in REPORTS:
        return METEOR
    return "METEOR, mean of types" if table in OPEN else "accuracy, mean of types"


def _printed(table: int, place: int) -> float:
    """Return the paper's figure of the row at `place`: METEOR, or the mean accuracy."""
    printed = published.printed(table)
    columns, rows = list(printed["columns"]), printed["rows"]
    if table in OPEN:
        rows = [row for row in rows if row[columns.index("metric")] == METEOR]
    return float(rows[place][columns.index(METEOR if table in REPORTS else MEAN)])


def _recall(pair: Pair, label: str) -> float:
    """Return the paper's R@1 in its largest pool."""
    name = pair.name.replace("DCFormer", "DCFormer-S")
    return float(published.printed(RETRIEVAL)["systems"][name][label][0][-1])


def _direction(comparison: Comparison, difference: float) -> str:
    relation = "above" if difference > 0 else "below" if difference < 0 else "equal to"
    return f"{comparison.second} {relation} {comparison.first}"


def draws_of(items: Sequence[Item]) -> Bootstrap:
    """Return the bootstrap of some items, by their cases."""
    return Bootstrap(tuple(item.case for item in items))
