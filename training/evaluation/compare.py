"""Two evaluations of the same items, in pairs."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dicom_io.errors import UnusableData
from training.evaluation.metrics.bootstrap import Bootstrap
from training.evaluation.printed.tables import Table
from training.evaluation.scores import difference_table

Scores = Mapping[str, tuple[str, float]]
"""By item its case and its score."""


def compare(first: Path, second: Path, *, resamples: int = 1000, seed: int = 0) -> Table:
    """Lay out second minus first, for every metric and decoding that both folders have.

    Parameters
    ----------
    first, second : Path
        Folders of two evaluations.
    resamples, seed : int
        Of the bootstrap.

    Raises
    ------
    UnusableData
        A folder has no scores, or they are not of the same items.
    """
    ours, theirs = _scores(first), _scores(second)
    figures = []
    cases: tuple[str, ...] = ()
    for name in ours.keys() & theirs.keys():
        a, b = ours[name], theirs[name]
        if a.keys() != b.keys():
            raise UnusableData(f"{first} and {second} have {name} of different items")
        cases = tuple(case for case, _ in a.values())
        figures.append((name, _values(a, a), _values(b, a)))
    if not figures:
        raise UnusableData(f"{first} and {second} have no figure in common")
    title = f"{second.name} minus {first.name}, in pairs, {len(cases)} items"
    draws = Bootstrap(cases, resamples, seed)
    return difference_table(draws, sorted(figures, key=lambda f: f[0]), "comparison", title)


def _scores(folder: Path) -> dict[str, dict[str, tuple[str, float]]]:
    paths = sorted(folder.glob("scores*.csv"))
    if not paths:
        raise UnusableData(f"{folder} holds no scores of an evaluation: it has no scores.csv")
    found: dict[str, dict[str, tuple[str, float]]] = {}
    for path in paths:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                scores = found.setdefault(f"{row['metric']} ({row['decoding']})", {})
                scores[row["key"]] = (row["case"], float(row["score"]))
    return found


def _values(scores: Scores, order: Scores) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([scores[key][1] for key in order])
