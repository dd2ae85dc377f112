"""What the paper says of each comparison, and what is found here: both computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from training.ablation.scores import Array, Figure, Found
from training.ablation.variants import CLOSED, OPEN, REPORTS, RETRIEVAL, ROWS, Pair
from training.data.questions import TYPES
from training.evaluation.metrics.bootstrap import Interval, mean, mean_of_means, summed, summed_by
from training.evaluation.printed import published
from training.evaluation.printed.published import DIRECTIONS
from training.evaluation.printed.tables import Cell, Table

MEAN = "Mean"
METEOR = "METEOR"
UNDECIDED, AS_IN_THE_PAPER, OTHERWISE = "undecided", "as in the paper", "the other way round"


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
            return UNDECIDED
        return AS_IN_THE_PAPER if self.here.value * self.paper > 0 else OTHERWISE

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


def comparisons(found: Found, tables: Sequence[int]) -> list[Comparison]:
    """Compare in each table what the paper proposes with everything else."""
    compared: list[Comparison] = []
    for table in tables:
        compared += _of_pairs(found) if table == RETRIEVAL else _of_models(table, found)
    return compared


def said(found: Sequence[Comparison], table: str) -> list[str]:
    """Return the sentences on a table of this name, after how many of them are decided."""
    own = [c for c in found if table == f"table{c.table}"]
    return [decided(own), *(c.sentence() for c in own)] if own else []


def comparison_table(found: Sequence[Comparison]) -> Table:
    """Lay out all of them."""
    columns = ("table", "second minus first", "figure", "paper", "here", "outcome")
    rows: list[tuple[Cell, ...]] = [
        (str(c.table), f"{c.second} − {c.first}", c.figure, c.paper, c.here, c.outcome)
        for c in found
    ]
    notes = (
        decided(found),
        "Percentage points; positive where the second is better, as the paper says of each.",
        "undecided: the 95 % interval (paired bootstrap by case, of the trained models as they "
        "are; Wilson's where no draw differs) holds 0. What another seed would train is not in "
        "the interval.",
    )
    return Table("comparisons", "What was found, beside the paper", columns, tuple(rows), notes)


def decided(found: Sequence[Comparison]) -> str:
    """Say how many comparisons the intervals decide, which way, and whether the seeds agree."""
    outcomes = Counter(comparison.outcome for comparison in found)
    settled = [c for c in found if c.outcome != UNDECIDED]
    said = (
        f"{len(settled)} of {len(found)} comparisons are decided: {outcomes[AS_IN_THE_PAPER]} as "
        f"in the paper, {outcomes[OTHERWISE]} the other way round."
    )
    if max((len(c.by_seed) for c in found), default=1) == 1:
        return said
    alike = sum(all(seed * c.here.value > 0 for seed in c.by_seed) for c in settled)
    return f"{said} Of these, {alike} point the same way with every seed."


def _of_pairs(found: Found) -> Iterator[Comparison]:
    """SigLIP minus CLIP with each tower, DCFormer minus ViT3D with each loss."""
    largest = published.printed(RETRIEVAL)["samples"][-1]
    for first, second in (
        (Pair("ViT3D", "clip"), Pair("ViT3D", "siglip")),
        (Pair("DCFormer", "clip"), Pair("DCFormer", "siglip")),
        (Pair("ViT3D", "clip"), Pair("DCFormer", "clip")),
        (Pair("ViT3D", "siglip"), Pair("DCFormer", "siglip")),
    ):
        figures = found[first]["pairs"], found[second]["pairs"]
        n = max(len(figure.cases) for figure in figures[0].values())
        for words, label in DIRECTIONS:
            here = f"R@1 {words} of {n} (paper: of {largest})"
            paper = _recall(second, label) - _recall(first, label)
            a, b = (of_pair[f"{label} R@1 of {n}"] for of_pair in figures)
            names = RETRIEVAL, first.name, second.name
            yield Comparison(*names, here, round(paper, 2), *difference(a, b))


def _of_models(table: int, found: Found) -> Iterator[Comparison]:
    """The full model, which is the last row, minus each other one."""
    *others, full = ROWS[table]
    what = "reports" if table in REPORTS else "open" if table in OPEN else "closed"
    metric = "accuracy" if table in CLOSED else METEOR
    for place, row in enumerate(others):
        paper = _printed(table, len(others)) - _printed(table, place)
        a, b = (found[r.model][what][metric] for r in (row, full))
        here = difference(a, b, by_type=table not in REPORTS)
        yield Comparison(table, row.words, full.words, _figure(table), round(paper, 2), *here)


def difference(
    first: Figure, second: Figure, *, by_type: bool = False
) -> tuple[Interval, tuple[float, ...]]:
    """Return second minus first in percent, of the means over seeds and of each seed.

    Parameters
    ----------
    first, second : Figure
        Of the same items.
    by_type : bool
        Whether the mean is that of the means of the types.
    """
    statistic = mean_of_means if by_type else mean
    present = [name for name in TYPES.values() if name in first.types]

    def totals(scores: Array) -> Array:
        return summed_by(first.types, present, scores) if by_type else summed(scores)

    here = first.draws.difference(totals(first.mean), totals(second.mean), statistic)
    by_seed = (
        float(statistic(totals(b).sum(axis=0)) - statistic(totals(a).sum(axis=0))) * 100
        for a, b in zip(first.by_seed, second.by_seed, strict=True)
    )
    return here.times(100), tuple(by_seed)


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
