"""How well scores tell right sentences from wrong ones, for `bench.confidence`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 10
RESAMPLES = 1000


def auroc(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Return how often a right sentence has the higher score than a wrong one."""
    if right.all() or not right.any():
        return float("nan")
    ordered = np.sort(scores[~right])
    below = np.searchsorted(ordered, scores[right], "left")
    upto = np.searchsorted(ordered, scores[right], "right")
    return float((below + upto).mean() / 2 / len(ordered))


def wrong_after(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Return the share of wrong sentences once the least sure fifth is withheld."""
    return float((~right)[np.argsort(-scores, kind="stable")[: round(0.8 * len(right))]].mean())


def calibration_error(shares: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Return the expected calibration error over bins of equal width."""
    bins = np.minimum((shares * BINS).astype(int), BINS - 1)
    gaps = [abs(float((right[bins == b] - shares[bins == b]).sum())) for b in range(BINS)]
    return sum(gaps) / len(right)


def interval(
    statistic: Callable[[NDArray[np.float64], NDArray[np.bool_]], float],
    scores: NDArray[np.float64],
    right: NDArray[np.bool_],
    studies: NDArray[np.str_],
) -> dict[str, Any]:
    """Return a figure with its interval; phantoms are drawn, not sentences.

    Parameters
    ----------
    statistic : callable
        From scores and whether each sentence is right to a figure.
    scores : ndarray of float, shape (n,)
    right : ndarray of bool, shape (n,)
    studies : ndarray of str, shape (n,)
        Whose each sentence is.
    """
    rng = np.random.default_rng(0)
    names, owner = np.unique(studies, return_inverse=True)
    rows = [np.flatnonzero(owner == i) for i in range(len(names))]
    drawn = []
    for _ in range(RESAMPLES):
        chosen = np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))])
        drawn.append(statistic(scores[chosen], right[chosen]))
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    value = statistic(scores, right)
    return {"value": round(value, 4), "interval": [round(float(low), 4), round(float(high), 4)]}
