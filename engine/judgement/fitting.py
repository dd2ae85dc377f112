"""Fitting a calibration on labelled studies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.judgement.calibration import ENOUGH, ONE_IN, Calibration, Fitted
from engine.judgement.phrasing import ABSENT, Phrasing
from engine.judgement.scores import Case, logit

_STEPS = 21
"""Quantiles that a distribution of scores is kept by: every 5 %."""


def fit(
    cases: Sequence[Case], phrasings: Sequence[Phrasing], *, name: str, model: str
) -> Calibration:
    """Fit a model's confidence on labelled studies.

    Parameters
    ----------
    cases : sequence of Case
        One for each study and finding whose truth is known.
    phrasings : sequence of Phrasing
        By which the model was scored.
    name : str
        Of the set, as a reader may see it.
    model : str
        Digest of the model's weights and settings.
    """
    by_finding = {
        one.finding: [case for case in cases if case.score.finding == one.finding]
        for one in phrasings
    }
    return Calibration(
        name=name,
        studies=len({case.study for case in cases}),
        model=model,
        phrasings=tuple(phrasings),
        fitted=tuple(
            _fitted(finding, present, known)
            for finding, known in by_finding.items()
            for present in (True, False)
        ),
        sureness={
            finding: _quantiles(case.score.sureness for case in known)
            for finding, known in by_finding.items()
            if known
        },
    )


def platt(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[float, float]:
    """Fit P(right) = 1 / (1 + exp(-(slope * score + offset))), slope >= 0 (Platt 1999).

    The targets keep a little doubt on both sides, so that few or separable cases give finite
    numbers. A score that ranks errors the wrong way round gets the slope 0.

    Parameters
    ----------
    scores : ndarray, shape (n,)
        Logits.
    right : ndarray of bool, shape (n,)
    """
    hits = int(right.sum())
    high, low = (hits + 1) / (hits + 2), 1 / (len(right) - hits + 2)
    target = np.where(right, high, low)
    columns = np.stack([scores, np.ones_like(scores)], axis=1)
    numbers = _newton(columns, target)
    if numbers[0] < 0:
        return 0.0, float(_newton(columns[:, 1:], target)[0])
    return float(numbers[0]), float(numbers[1])


def _newton(columns: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit a logistic regression; a little damping keeps a constant column harmless."""
    numbers = np.zeros(columns.shape[1])
    damping = 1e-3 * np.eye(columns.shape[1])
    for _ in range(50):  # it converges in about ten
        share = 1 / (1 + np.exp(-np.clip(columns @ numbers, -30, 30)))
        slope = columns.T @ (target - share) - damping @ numbers
        curve = (columns * (share * (1 - share))[:, None]).T @ columns + damping
        step = np.linalg.solve(curve, slope)
        numbers = numbers + step / max(1.0, float(np.abs(step).max()))
    return numbers


def _fitted(finding: str, present: bool, cases: Sequence[Case]) -> Fitted:
    saying = [c for c in cases if c.score.said and (c.score.said != ABSENT) == present]
    true = [c.score.there for c in cases if (c.truth != ABSENT) == present]
    right = np.array([case.right for case in saying], np.bool_)
    slope = offset = 0.0
    if len(saying) >= ENOUGH:
        slope, offset = platt(np.array([logit(case.score.of_said) for case in saying]), right)
    return Fitted(
        finding=finding,
        present=present,
        sentences=len(saying),
        right=int(right.sum()),
        slope=slope,
        offset=offset,
        cases=len(true),
        least=_least([share if present else 1 - share for share in true]),
    )


def _least(shares: Sequence[float]) -> float | None:
    """Return the threshold that at most one in `ONE_IN` new shares of the same kind is below."""
    rank = (len(shares) + 1) // ONE_IN
    return sorted(shares)[rank - 1] if rank else None


def _quantiles(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(np.quantile(list(values), np.linspace(0, 1, _STEPS)).tolist())
