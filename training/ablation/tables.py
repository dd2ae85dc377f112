"""The paper's tables 5 to 11 with the rows of an ablation below the paper's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from engine.network.towers.vision import VisionConfig
from engine.sizes.cost import Cost
from engine.sizes.tables import projector_cost, tower_cost
from training.ablation.given import Given, projector_of
from training.ablation.scores import Array, Figures, Found
from training.ablation.variants import (
    CLOSED,
    OPEN,
    PAIRS,
    PROJECTORS,
    REPORTS,
    RETRIEVAL,
    ROWS,
    Model,
    Pair,
    Row,
    Tower,
    models_of,
    pairs_of,
)
from training.evaluation.printed import published
from training.evaluation.printed.published import DIRECTIONS, RANKS, System
from training.evaluation.printed.tables import Cell, Table
from training.evaluation.scores import NOT_COMPUTED, PAPER_METRICS, percent
from training.evaluation.tasks.questions import COLUMNS, by_type
from training.learner.material import Material
from training.recipe.recipe import Recipe

NOT_THE_SAME = (
    "The paper's rows are of M3D and full size, those here of miniatures on phantoms: directions "
    "can be compared, figures cannot."
)
SHARED = (
    "One frozen tower stands behind all projectors and seeds, so they differ in nothing that stage "
    "1 did."
)
PAPER_MARKS = (
    "The paper's check marks and text disagree: by the text, its rows are without SigLIP, without "
    "MLP-Mixer, without DCFormer and MLP-Mixer, and full (of table 5 the text gives the first "
    "two figures the other way round). Rows here are in that order; without DCFormer the tower "
    "is ViT3D, without MLP-Mixer the projector is 2xMLP."
)


@dataclass(frozen=True, eq=False)
class Layout:
    """Lays out the tables of an ablation.

    Parameters
    ----------
    recipe : Recipe
        The base recipe.
    material : Material
        What was tested on.
    found : Found
        What came out.
    missing : tuple of str
        Why a metric was not computed, one sentence each.
    given : Given
        What was not trained here.
    """

    recipe: Recipe
    material: Material
    found: Found
    missing: tuple[str, ...] = ()
    given: Given = field(default_factory=dict)

    def tables(self, numbers: tuple[int, ...]) -> Iterator[Table]:
        """Yield every table of an ablation but that of the comparisons."""
        yield self.sizes(numbers)
        for number in numbers:
            yield self.table(number)
        if models_of(numbers):
            yield self.findings(numbers)

    def table(self, number: int) -> Table:
        """Lay out one of the paper's tables."""
        if number == RETRIEVAL:
            return self._retrieval()
        what = "reports" if number in REPORTS else "open" if number in OPEN else "closed"
        rows = [cells for row in ROWS[number] for cells in self._rows(number, row, what)]
        first = self.found[ROWS[number][0].model][what]
        name = "reports" if what == "reports" else f"{what} questions"
        missing = () if what == "closed" else self.missing
        about = {
            "title": self._title((number,), first, name),
            "notes": (*self._notes(number, first), *missing),
        }
        return published.table(number, rows, **about)

    def _rows(self, number: int, row: Row, what: str) -> Iterator[list[Cell]]:
        figures = self.found[row.model][what]
        if number in CLOSED:
            yield [*row.cells, *_types(figures, "accuracy")]
        elif number in OPEN:
            for column, metric in PAPER_METRICS.items():
                yield [*row.cells, column, *_types(figures, metric)]
        else:
            cells = [_percent(figures, metric) for metric in PAPER_METRICS.values()]
            yield [*row.cells, *cells, *self._cost(number, row)]

    def _retrieval(self) -> Table:
        first = self.found[PAIRS[0]]["pairs"]
        pools = list(dict.fromkeys(int(name.rpartition(" ")[2]) for name in first))
        systems = [
            System(pair.name, pools, _recalls(self.found[pair]["pairs"], pools)) for pair in PAIRS
        ]
        notes = (*self._notes(RETRIEVAL, first), "Strict diagonal; ties count as misses.")
        title = self._title((RETRIEVAL,), first, "pairs")
        return published.retrieval_table(RETRIEVAL, systems, title=title, notes=notes)

    def _cost(self, number: int, row: Row) -> tuple[str, ...]:
        """Return parameters and multiply-adds of a projector, which table 9 shows."""
        if "Parameters" not in published.columns(number):
            return ()
        config = projector_of(row.model, self.recipe, self.given)
        if config is None:
            return (NOT_COMPUTED, NOT_COMPUTED)
        with torch.device("meta"):
            return _cost_cells(projector_cost(config), 5)

    def findings(self, numbers: tuple[int, ...]) -> Table:
        """Lay out what n-gram metrics hide: whether findings and sides are right."""
        rows: list[tuple[Cell, ...]] = []
        for model in models_of(numbers):
            figures = self.found[model]["findings"]
            counted = np.stack([figure.mean for figure in figures.values()], axis=1)
            draws = next(iter(figures.values())).draws
            shares = (draws.interval(counted, share).times(100) for share in SHARES.values())
            rows.append((f"{model.name}{' (shared tower)' if model.shared else ''}", *shares))
        return Table(
            "findings",
            f"Findings of the same reports{self._title(numbers, figures, 'reports')}",
            ("model", *SHARES),
            tuple(rows),
            ("Strict: name and side. The paper has no such table (docs/finding-score.md).",),
        )

    def sizes(self, numbers: tuple[int, ...]) -> Table:
        """Lay out what was compared."""
        rows: list[tuple[Cell, ...]] = []
        for tower in dict.fromkeys(pair.tower for pair in pairs_of(numbers)):
            config = self._vision(tower, numbers)
            tokens, channels = config.shapes[-1]
            with torch.device("meta"):
                rows.append((tower, *_cost_cells(tower_cost(config), 4), f"{tokens} × {channels}"))
        columns = ("tower", "Parameters", "FLOPs", "tokens × channels")
        return Table("towers", "Vision towers", columns, tuple(rows))

    def _vision(self, tower: Tower, numbers: tuple[int, ...]) -> VisionConfig:
        """Return the sizes of a tower: of a checkpoint that is given, or else of the recipe."""
        for model in models_of(numbers):
            for slug in (model.slug, model.pair.slug):
                if model.pair.tower == tower and slug in self.given:
                    config: VisionConfig = self.given[slug].network.vision
                    return config
        return Pair(tower, "siglip").recipe(self.recipe).vision_config

    def _all_given(self, numbers: tuple[int, ...]) -> bool:
        """Whether nothing of some tables was trained here."""
        pairs = PAIRS if RETRIEVAL in numbers else ()
        variants: list[Pair | Model] = [*models_of(numbers), *pairs]
        return all(variant.slug in self.given for variant in variants)

    def _title(self, numbers: tuple[int, ...], figures: Figures, what: str) -> str:
        count = max(len(figure.cases) for figure in figures.values())
        source, split = self.material.store.header.source, self.material.split
        size = "" if self._all_given(numbers) else ", in miniature"
        return f"{size}: {count} {_tested(what)} of {source}, split {split}"

    def _notes(self, number: int, figures: Figures) -> tuple[str, ...]:
        seeds = len(next(iter(figures.values())).by_seed)
        of_seeds = f"; scores are means over {seeds} seeds" if seeds > 1 else "; one seed"
        notes = [
            self._apart(number),
            "95 % intervals: percentile bootstrap by case, Wilson's where no draw "
            f"differs{of_seeds}.",
        ]
        if number in ROWS and ROWS[number] is PROJECTORS:
            notes.append(SHARED)
        return (*notes, PAPER_MARKS) if number in (5, 6, 7) else tuple(notes)

    def _apart(self, number: int) -> str:
        """Say why the paper's figures are no measure of those here."""
        if not self._all_given((number,)):
            return NOT_THE_SAME
        source = self.material.store.header.source
        return (
            f"The paper's rows are its own; those here are of the checkpoints given, on {source}."
        )


def _tested(what: str) -> str:
    adjective, _, noun = what.rpartition(" ")
    return f"{adjective} test {noun}".strip()


def _percent(figures: Figures, metric: str) -> Cell:
    figure = figures.get(metric)
    return NOT_COMPUTED if figure is None else percent(figure.draws, figure.mean)


def _types(figures: Figures, metric: str) -> tuple[Cell, ...]:
    figure = figures.get(metric)
    if figure is None:
        return (NOT_COMPUTED,) * len(COLUMNS)
    return by_type(figure.draws, figure.types, figure.mean)


def _recalls(figures: Figures, pools: list[int]) -> dict[str, list[list[Cell]]]:
    return {
        label: [[_percent(figures, f"{label} R@{k} of {n}") for n in pools] for k in RANKS]
        for _, label in DIRECTIONS
    }


def _share(totals: Array, whole: Array) -> Array:
    """True positives over `whole`; nothing of nothing is 0."""
    return np.asarray(totals[..., 0] / np.where(whole == 0, np.inf, whole))


SHARES = {
    "precision": lambda t: _share(t, t[..., 0] + t[..., 1]),
    "recall": lambda t: _share(t, t[..., 0] + t[..., 2]),
    "F1": lambda t: _share(t, t[..., 0] + (t[..., 1] + t[..., 2]) / 2),
}
"""Of totals of true positives, false positives and false negatives."""


def _cost_cells(made: Cost, digits: int) -> tuple[str, str]:
    return f"{made.parameters / 1e6:.3f} M", f"{made.with_normalisations / 1e9:.{digits}f} G"
