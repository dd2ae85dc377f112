"""Confidence intervals by the percentile bootstrap; whole cases are drawn, since theirs agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]
"""From totals (..., m) to a figure (...), e.g. a mean from a sum and a count."""

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A figure with the interval that holds it with 95 % confidence."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Interval:
        return Interval(self.value * factor, self.low * factor, self.high * factor)


def wilson(share: float, n: int) -> Interval:
    """Wilson's interval of a share of n cases (Wilson 1927), where a bootstrap has no spread.

    Of 0 or all of n cases every draw is the same, and its interval has no width: it would say that
    a hundred of a hundred right answers prove a system that is never wrong.

    Parameters
    ----------
    share : float
        From 0 to 1.
    n : int
        Cases; of none nothing is known.
    """
    if n == 0:
        return Interval(share, 0.0, 1.0)
    z = 1.959964  # of the normal distribution, for 95 %
    middle = share + z**2 / (2 * n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    whole = 1 + z**2 / n
    low, high = max(0.0, (middle - half) / whole), min(1.0, (middle + half) / whole)
    return Interval(share, min(share, float(low)), max(share, float(high)))


@dataclass(frozen=True)
class Bootstrap:
    """Draws of cases, the same for every figure, so that two systems can be compared in pairs.

    Parameters
    ----------
    cases : tuple of str
        Whose each item is. Items of a case are drawn together: their reports agree.
    resamples : int
    seed : int
    """

    cases: tuple[str, ...]
    resamples: int = 1000
    seed: int = 0

    def interval(self, items: Array, statistic: Statistic, *, share: bool = True) -> Interval:
        """Return a figure of all items, with its interval.

        Parameters
        ----------
        items : ndarray, shape (n, m)
            What each item adds to the m totals that `statistic` takes.
        statistic : Statistic
            Makes a figure of the totals.
        share : bool
            Whether the figure goes from 0 to 1; then 0 and 1 have the interval of `wilson`, and
            a figure of nothing (NaN) is 0 with the widest one.
        """
        value, drawn = self._figure(items, statistic)
        if share and np.isnan(value):
            return wilson(0.0, 0)
        found = _interval(value, drawn)
        extreme = round(value, 9)  # a mean of ones may be a little less
        if share and found.high - found.low < 1e-9 and extreme in (0.0, 1.0):
            return wilson(extreme, self._informative(items, statistic, extreme))
        return found

    def _informative(self, items: Array, statistic: Statistic, value: float) -> int:
        """Count the cases that say something: of a perfect figure those that are right."""
        names, of_item = self._groups
        totals = np.zeros((len(names), items.shape[1]))
        np.add.at(totals, of_item, items)
        by_case = statistic(totals)
        says = (by_case > 0) if value > 0 else totals.any(axis=1)
        return int(np.count_nonzero(says & np.isfinite(by_case)))

    def difference(self, first: Array, second: Array, statistic: Statistic) -> Interval:
        """Return the second system's figure minus the first one's, with its interval.

        Where figures are shares and no draw differs, because both systems agree in every case or
        one of them is right in all and the other in none, the interval is that of `wilson`: of the
        cases in which they disagree.

        Parameters
        ----------
        first, second : array
            Scores of two systems, one row an item.
        statistic : Statistic
            Makes a figure of the rows' sums.
        """
        (a, drawn_a), (b, drawn_b) = (self._figure(items, statistic) for items in (first, second))
        found = _interval(b - a, drawn_b - drawn_a)
        constant = round(found.value, 9)
        if found.high - found.low < 1e-9 and constant in (-1.0, 0.0, 1.0):
            return _constant(constant, len(self._groups[0]))
        return found

    def _figure(self, items: Array, statistic: Statistic) -> tuple[float, Array]:
        names, of_item = self._groups
        totals = np.zeros((len(names), items.shape[1]))
        np.add.at(totals, of_item, items)
        return float(statistic(items.sum(axis=0))), statistic(self._counts @ totals)

    @cached_property
    def _groups(self) -> tuple[NDArray[np.str_], NDArray[np.intp]]:
        names, of_item = np.unique(np.array(self.cases), return_inverse=True)
        return names, of_item

    @cached_property
    def _counts(self) -> Array:
        """(resamples, cases): how often each case was drawn."""
        n = len(self._groups[0])
        rng = np.random.default_rng(self.seed)
        return rng.multinomial(n, np.full(n, 1 / n), self.resamples).astype(np.float64)


def mean(totals: Array) -> Array:
    """Of totals (sum, count)."""
    return _ratio(totals[..., 0], totals[..., 1])


def mean_of_means(totals: Array) -> Array:
    """Unweighted mean over groups; totals are the sums of each group, then the counts of each."""
    sums, counts = np.split(totals, 2, axis=-1)
    means = _ratio(sums, counts)
    return _ratio(np.nansum(means, axis=-1), np.isfinite(means).sum(axis=-1))


def summed(scores: Sequence[float] | Array) -> Array:
    """What items with these scores add to the totals of `mean`, shape (n, 2)."""
    column = np.asarray(scores, np.float64)
    return np.stack([column, np.ones_like(column)], axis=1)


def summed_by(groups: Sequence[str], names: Sequence[str], scores: Array) -> Array:
    """What items of these groups add to the totals of `mean_of_means`, shape (n, 2 groups).

    Parameters
    ----------
    groups : sequence of str
        The group of each item.
    names : sequence of str
        All groups.
    scores : array
        One an item, shape (n,).
    """
    member = (np.array(groups)[:, None] == np.array(names)).astype(np.float64)
    return np.concatenate([member * scores[:, None], member], axis=1)


def _ratio(part: Array, whole: NDArray[Any]) -> Array:
    """NaN where there is nothing: a group of which no case was drawn."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.divide(part, whole))


def _constant(difference: float, n: int) -> Interval:
    """Of a difference that is the same, -1, 0 or 1, in all n cases."""
    apart = wilson(abs(difference), n)
    if difference == 0:
        return Interval(0.0, -apart.high, apart.high)
    ends = sorted((difference * apart.low, difference * apart.high))
    return Interval(difference, *ends)


def _interval(value: float, drawn: Array) -> Interval:
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(drawn, [tail, 1 - tail])
    return Interval(value, float(low), float(high))
