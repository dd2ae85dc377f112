"""The paper's tables 5 to 11 with the rows of an ablation below the paper's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from engine.sizes.cost import Cost
from engine.sizes.tables import projector_cost, tower_cost
from training.ablation.comparisons import OPEN, REPORTS, BySeed, draws_of
from training.ablation.scoring import CORRECT, FINDINGS, Array, Scoring, averaged, recall_name
from training.ablation.variants import PAIRS, RETRIEVAL, ROWS, Pair, Row, models_of, pairs_of
from training.evaluation import published
from training.evaluation.published import DIRECTIONS, RANKS, System
from training.evaluation.questions import by_type
from training.evaluation.reports import PAPER_METRICS
from training.evaluation.scores import percent
from training.evaluation.tables import Cell, Table
from training.recipe.recipe import Recipe

MISSING = "not computed"
NOT_THE_SAME = (
    "The paper's rows are of M3D and full size, those here of miniatures on phantoms: directions "
    "can be compared, figures cannot."
)


class Layout:
    """Lays out the tables of an ablation.

    Parameters
    ----------
    recipe : Recipe
        The base recipe.
    scoring : Scoring
        What was tested.
    scores : BySeed
        What came out.
    missing : tuple of str
        Why a metric was not computed, one sentence each.
    """

    def __init__(
        self, recipe: Recipe, scoring: Scoring, scores: BySeed, missing: tuple[str, ...] = ()
    ) -> None:
        self.recipe, self.scoring, self.scores, self.missing = recipe, scoring, scores, missing

    def table(self, number: int) -> Table:
        """Lay out one of the paper's tables."""
        if number == RETRIEVAL:
            return self._retrieval()
        if number in REPORTS:
            return self._reports(number)
        return self._open(number) if number in OPEN else self._closed(number)

    def _retrieval(self) -> Table:
        systems = [System(pair.name, self.scoring.pools, self._recalls(pair)) for pair in PAIRS]
        notes = (*self._notes(RETRIEVAL, "pairs"), "Strict diagonal; ties count as misses.")
        return published.retrieval_table(
            RETRIEVAL,
            systems,
            title=self._title(len(self.scoring.pairs), "test pairs"),
            notes=notes,
        )

    def _recalls(self, pair: Pair) -> dict[str, list[list[Cell]]]:
        scores = averaged(self.scores[pair]["pairs"])
        return {
            label: [
                [
                    percent(draws_of(self.scoring.pairs[:n]), scores[recall_name(label, k, n)])
                    for n in self.scoring.pools
                ]
                for k in RANKS
            ]
            for _, label in DIRECTIONS
        }

    def _reports(self, number: int) -> Table:
        draws = draws_of(self.scoring.reports)
        rows = []
        for row in ROWS[number]:
            scores = averaged(self.scores[row.model]["reports"])
            figures = [
                percent(draws, scores[metric]) if metric in scores else MISSING
                for metric in PAPER_METRICS.values()
            ]
            rows.append([*row.cells, *figures, *self._cost(number, row)])
        notes = (*self._notes(number, "reports"), *self.missing)
        title = self._title(len(self.scoring.reports), "test reports")
        return published.table(number, rows, title=title, notes=notes)

    def _cost(self, number: int, row: Row) -> tuple[str, ...]:
        """Return parameters and multiply-adds of a projector, which table 9 shows."""
        if "Parameters" not in published.columns(number):
            return ()
        assert self.recipe.llm is not None
        assert self.recipe.llm.sizes is not None
        width = self.recipe.llm.sizes.hidden_size
        with torch.device("meta"):
            made = projector_cost(row.model.recipe(self.recipe).projector_config(width))
        return (f"{made.parameters / 1e6:.3f} M", f"{made.with_normalisations / 1e9:.5f} G")

    def _open(self, number: int) -> Table:
        items = self.scoring.asked("open")
        draws, rows = draws_of(items), []
        for row in ROWS[number]:
            scores = averaged(self.scores[row.model]["open"])
            for column, metric in PAPER_METRICS.items():
                figures = (
                    by_type(draws, items, scores[metric])
                    if metric in scores
                    else (MISSING,) * (len(published.columns(number)) - len(row.cells) - 1)
                )
                rows.append([*row.cells, column, *figures])
        notes = (*self._notes(number, "open"), *self.missing)
        title = self._title(len(items), "open test questions")
        return published.table(number, rows, title=title, notes=notes)

    def _closed(self, number: int) -> Table:
        items = self.scoring.asked("closed")
        draws = draws_of(items)
        rows = [
            [
                *row.cells,
                *by_type(draws, items, averaged(self.scores[row.model]["closed"])[CORRECT]),
            ]
            for row in ROWS[number]
        ]
        title = self._title(len(items), "closed test questions")
        return published.table(number, rows, title=title, notes=self._notes(number, "closed"))

    def findings(self, tables: tuple[int, ...]) -> Table:
        """Lay out what n-gram metrics hide: whether findings and sides are right."""
        draws = draws_of(self.scoring.reports)
        rows: list[tuple[Cell, ...]] = []
        for model in models_of(tables):
            counted = averaged(self.scores[model]["reports"])[FINDINGS]
            figures = (draws.interval(counted, share).times(100) for share in SHARES.values())
            rows.append((model.name, *figures))
        return Table(
            "findings",
            f"Findings of the same reports{self._title(len(self.scoring.reports), 'test reports')}",
            ("model", *SHARES),
            tuple(rows),
            ("Strict: name and side. The paper has no such table (docs/finding-score.md).",),
        )

    def sizes(self, tables: tuple[int, ...]) -> Table:
        """Lay out what was compared."""
        rows: list[tuple[Cell, ...]] = []
        for tower in dict.fromkeys(pair.tower for pair in pairs_of(tables)):
            config = Pair(tower, "siglip").recipe(self.recipe).vision_config
            with torch.device("meta"):
                rows.append((tower, *_cost_cells(tower_cost(config)), _shape(config.shapes[-1])))
        return Table(
            "towers",
            "Vision towers",
            ("tower", "Parameters", "FLOPs", "tokens × channels"),
            tuple(rows),
        )

    def _title(self, count: int, what: str) -> str:
        source = self.scoring.material.store.header.source
        split = self.scoring.material.split
        return f", in miniature: {count} {what} of {source}, split {split}"

    def _notes(self, number: int, what: str) -> tuple[str, ...]:
        variants: Sequence[Any] = PAIRS if number == RETRIEVAL else [r.model for r in ROWS[number]]
        seeds = len(self.scores[variants[0]]["pairs" if number == RETRIEVAL else what])
        of_seeds = f"; scores are means over {seeds} seeds" if seeds > 1 else "; one seed"
        notes = [NOT_THE_SAME, f"95 % intervals: percentile bootstrap by case{of_seeds}."]
        if number in (5, 6, 7):
            notes.append(PAPER_MARKS)
        return tuple(notes)


PAPER_MARKS = (
    "The paper's check marks and text disagree: by the text, its rows are without SigLIP, without "
    "MLP-Mixer, without DCFormer and MLP-Mixer, and full (of table 5 the text gives the first "
    "two figures the other way round). Rows here are in that order; without DCFormer the tower "
    "is ViT3D, without MLP-Mixer the projector is 2xMLP."
)


def _precision(totals: Array) -> Array:
    return _share(totals, totals[..., 0] + totals[..., 1])


def _recall(totals: Array) -> Array:
    return _share(totals, totals[..., 0] + totals[..., 2])


def _f1(totals: Array) -> Array:
    return _share(totals, totals[..., 0] + (totals[..., 1] + totals[..., 2]) / 2)


def _share(totals: Array, whole: Array) -> Array:
    """True positives over `whole`; nothing of nothing is 0."""
    return np.asarray(totals[..., 0] / np.where(whole == 0, np.inf, whole))


SHARES = {"precision": _precision, "recall": _recall, "F1": _f1}


def _cost_cells(made: Cost) -> tuple[str, str]:
    return f"{made.parameters / 1e6:.3f} M", f"{made.with_normalisations / 1e9:.4f} G"


def _shape(shape: tuple[int, int]) -> str:
    return f"{shape[0]} × {shape[1]}"


def lay_out(layout: Layout, tables: tuple[int, ...]) -> Iterator[Table]:
    """Yield every table of an ablation but that of the comparisons."""
    yield layout.sizes(tables)
    for number in tables:
        yield layout.table(number)
    if models_of(tables):
        yield layout.findings(tables)
