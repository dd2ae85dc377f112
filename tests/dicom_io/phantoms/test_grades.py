from __future__ import annotations

import numpy as np
import pytest

from dicom_io.phantoms.detailed.findings import SIZES_MM
from dicom_io.phantoms.detailed.phantom import draw_study, make_detailed_phantom
from dicom_io.phantoms.grades import MOST_NOISE
from dicom_io.phantoms.noise import scanned
from dicom_io.phantoms.phantom import make_phantom
from dicom_io.phantoms.truth import FINDINGS

SEEDS = range(70_000_000, 70_000_040)
STANDARD = {"grade": "standard"}


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


def test_focal_findings_of_a_detailed_phantom_grow_small():
    studies = [draw_study(seed, grade="subtle") for seed in SEEDS]
    small = {
        one.name: one.size_mm
        for study in studies
        for one in study.truth.findings
        if one.name in SIZES_MM and one.extent < 0
    }
    assert set(small) == set(SIZES_MM)
    assert all(0 < size < SIZES_MM[name][0] for name, size in small.items())


def test_a_detailed_phantom_of_the_standard_grade_is_the_one_without():
    plain, graded = (make_detailed_phantom(3, region="chest", **how) for how in ({}, STANDARD))
    assert plain.truth == graded.truth
    assert np.array_equal(plain.volume.hu, graded.volume.hu)


def test_a_hard_detailed_phantom_shows_its_findings_in_more_noise():
    subtle, hard = (
        make_detailed_phantom(3, region="chest", grade=grade) for grade in ("subtle", "hard")
    )
    assert subtle.truth == hard.truth
    assert all(hard.regions[one.name].any() for one in hard.truth.findings)
    assert not np.array_equal(subtle.volume.hu, hard.volume.hu)
