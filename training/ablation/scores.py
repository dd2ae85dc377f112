"""The scores that evaluations have left of the variants, item by item."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.ablation.matrix import Matrix
from training.ablation.variants import PAIRS, RETRIEVAL, Model, Pair, models_of
from training.evaluation.metrics.bootstrap import Bootstrap

Array = NDArray[np.float64]

FILES = {
    "reports": "reports/scores.csv",
    "findings": "reports/findings.csv",
    "open": "questions/scores_open.csv",
    "closed": "questions/scores_closed.csv",
}


@dataclass(frozen=True, eq=False)
class Figure:
    """What is measured of each item.

    Parameters
    ----------
    cases, types : tuple of str
        Of the items.
    by_seed : ndarray, shape (seeds, items)
    """

    cases: tuple[str, ...]
    types: tuple[str, ...]
    by_seed: Array

    @property
    def mean(self) -> Array:
        return np.asarray(self.by_seed.mean(axis=0))

    @cached_property
    def draws(self) -> Bootstrap:
        return Bootstrap(self.cases)


Figures = Mapping[str, Figure]
"""By metric; a recall by direction, K and pool, such as "IR R@1 of 100"."""

Found = Mapping[Pair | Model, Mapping[str, Figures]]
"""Of each variant, by what it was tested on: "pairs", or a key of `FILES`."""


def read_found(matrices: Sequence[Matrix], tables: tuple[int, ...]) -> Found:
    """Read what lies on disk of every variant that some tables need; a matrix for each seed."""
    found: dict[Pair | Model, Mapping[str, Figures]] = {}
    for pair in PAIRS if RETRIEVAL in tables else ():
        folders = [matrix.folder_of(pair) for matrix in matrices]
        found[pair] = {"pairs": read_figures([f / "retrieval" / "pools.csv" for f in folders])}
    for model in models_of(tables):
        folders = [matrix.folder_of(model) for matrix in matrices]
        found[model] = {
            what: read_figures([f / file for f in folders]) for what, file in FILES.items()
        }
    return found


def read_figures(paths: Sequence[Path]) -> Figures:
    """Read files of scores, one for each seed, as `evaluation.scores.write_scores` writes them."""
    seeds = [_by_name(path) for path in paths]
    return {
        name: Figure(
            tuple(row["case"] for row in rows),
            tuple(row["type"] for row in rows),
            np.array([[float(row["score"]) for row in seed[name]] for seed in seeds]),
        )
        for name, rows in seeds[0].items()
    }


def _by_name(path: Path) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            pool = "" if row["decoding"] == "greedy" else f" of {row['decoding']}"
            found.setdefault(f"{row['metric']}{pool}", []).append(row)
    return found
