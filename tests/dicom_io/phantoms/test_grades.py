from __future__ import annotations

import numpy as np
import pytest

from dicom_io.phantoms.grades import MOST_NOISE
from dicom_io.phantoms.noise import scanned
from dicom_io.phantoms.phantom import make_phantom
from dicom_io.phantoms.truth import FINDINGS

SEEDS = range(70_000_000, 70_000_040)


def test_a_standard_phantom_is_the_one_without_a_grade():
    plain, graded = make_phantom(7, matrix=48), make_phantom(7, matrix=48, grade="standard")
    assert plain.truth == graded.truth
    assert np.array_equal(plain.volume.hu, graded.volume.hu)


def test_subtle_findings_are_slighter_than_any_of_a_standard_phantom():
    extents = {
        (seed, one.name): one.extent
        for seed in SEEDS
        for one in make_phantom(seed, matrix=32, grade="subtle").truth.findings
    }
    subtle = [name for (_, name), extent in extents.items() if extent < 0]
    assert set(subtle) == set(FINDINGS)
    assert 0.5 < len(subtle) / len(extents) < 0.85


@pytest.mark.parametrize("finding", FINDINGS)
def test_what_is_subtle_still_changes_the_body_where_it_lies(finding: str):
    there = next(
        phantom
        for phantom in (make_phantom(seed, matrix=48, grade="subtle") for seed in SEEDS)
        if (found := phantom.truth.finding(finding)) and found.extent < 0
    )
    gone = make_phantom(there.seed, matrix=48, grade="subtle", without=(finding,))
    assert there.regions[finding].any()
    assert not np.array_equal(there.volume.hu, gone.volume.hu)


def test_a_hard_phantom_is_a_subtle_one_with_more_noise():
    subtle, hard = (make_phantom(SEEDS[1], matrix=48, grade=g) for g in ("subtle", "hard"))
    assert subtle.truth == hard.truth
    assert not np.array_equal(subtle.volume.hu, hard.volume.hu)
    water = np.zeros((8, 32, 32), np.float32)
    usual, noisy = (scanned(water, np.random.default_rng(0), n).std() for n in (1.0, MOST_NOISE))
    assert noisy == pytest.approx(MOST_NOISE * usual, rel=0.01)
