"""How hard a phantom's findings are to see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dicom_io.phantoms.truth import Finding, Truth

Grade = Literal["standard", "subtle", "hard"]
GRADES: tuple[Grade, ...] = ("standard", "subtle", "hard")

SUBTLE = 0.7
"""Of a subtle phantom's findings; the others are as in a standard one."""

LEAST = 0.05
"""How far the slightest finding goes from where the normal range ends to the slightest one of a
standard phantom."""

MOST_NOISE = 3.0
"""Times a standard phantom's, in a hard one."""

NORMAL_ENDS = {
    "cardiomegaly": -0.8,  # 1.08 times the usual heart
    "pleural effusion": -0.27,  # no fluid
    "hepatic steatosis": -1.4,  # a quarter of the slightest drop: what livers differ by
    "splenomegaly": -0.91,  # 1.08 times the usual spleen
    "ascites": -0.52,  # no fluid
}
"""The extent at which nothing is left that a normal body does not have: 0 is the slightest finding
of a standard phantom, and `Body` paints what lies below it on the same line."""

NORMAL_MM = {"aortic aneurysm": 24}
"""Diameters at which nothing is left of focal findings; of the others at 0."""

Sizes = Mapping[str, tuple[int, int]]
"""The smallest and the largest diameter of focal findings in standard phantoms, in mm."""


def graded(
    truth: Truth, grade: Grade, rng: np.random.Generator, sizes: Sizes | None = None
) -> Truth:
    """Make most findings slighter than those of standard phantoms.

    Parameters
    ----------
    truth : Truth
    grade : {"standard", "subtle", "hard"}
        A standard truth stays as it is.
    rng : numpy.random.Generator
        Drawn from for every finding, in the order of the truth.
    sizes : mapping of str to (int, int), optional
        Of the focal findings that the truth may hold.
    """
    if grade == "standard":
        return truth
    drawn = [(rng.random() < SUBTLE, rng.uniform(LEAST, 1)) for _ in truth.findings]
    findings = (
        _slighter(one, share, sizes or {}) if is_subtle else one
        for one, (is_subtle, share) in zip(truth.findings, drawn, strict=True)
    )
    return replace(truth, findings=tuple(findings))


def visible(truth: Truth, grade: Grade, regions: Mapping[str, NDArray[np.bool_]]) -> Truth:
    """Leave out what is too slight for any voxel; a standard truth stays as it was drawn.

    Parameters
    ----------
    truth : Truth
    grade : {"standard", "subtle", "hard"}
    regions : mapping of str to ndarray of bool
        The voxels of each finding.
    """
    if grade == "standard":
        return truth
    return truth.without([name for name, where in regions.items() if not where.any()])


def noise_of(grade: Grade, rng: np.random.Generator) -> float:
    """Draw how many times as noisy as a standard phantom one is."""
    return float(rng.uniform(1, MOST_NOISE)) if grade == "hard" else 1.0


def _slighter(finding: Finding, share: float, sizes: Sizes) -> Finding:
    if finding.name in NORMAL_ENDS:
        return replace(finding, extent=NORMAL_ENDS[finding.name] * (1 - share))
    low, high = sizes[finding.name]
    least = NORMAL_MM.get(finding.name, 0)
    size = max(1, round(least + share * (low - least)))
    return replace(finding, extent=(size - low) / (high - low), size_mm=size)
