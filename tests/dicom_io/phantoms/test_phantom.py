import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_io.phantoms.phantom import make_phantom
from dicom_io.phantoms.truth import FINDINGS, PHASES, PLANES, Truth, draw_truth
from dicom_io.volume.orientation import acquisition_plane

SMALL = 48


@pytest.fixture(scope="module")
def truths() -> list[Truth]:
    rng = np.random.default_rng(0)
    return [draw_truth(rng) for _ in range(600)]


def test_a_seed_decides_everything():
    first, again = (make_phantom(7, matrix=SMALL) for _ in range(2))
    assert first.truth == again.truth
    assert np.array_equal(first.volume.hu, again.volume.hu)
    assert np.array_equal(first.volume.affine_lps, again.volume.affine_lps)


def test_seeds_differ():
    assert not np.array_equal(
        make_phantom(1, matrix=SMALL).volume.hu[20], make_phantom(2, matrix=SMALL).volume.hu[20]
    )


@settings(max_examples=12)
@given(seed=st.integers(0, 2**31))
def test_the_slices_lie_in_the_plane_of_the_truth(seed):
    phantom = make_phantom(seed, matrix=SMALL)
    assert acquisition_plane(phantom.volume.affine_lps) == phantom.truth.plane


@settings(max_examples=12)
@given(seed=st.integers(0, 2**31))
def test_hu_stay_in_the_range_of_a_scanner(seed):
    hu = make_phantom(seed, matrix=SMALL).volume.hu
    assert hu.dtype == np.int16
    assert hu.min() >= -1024
    assert hu.max() <= 3071


def test_every_plane_phase_and_finding_is_drawn(truths):
    assert {t.plane for t in truths} == set(PLANES)
    assert {t.phase for t in truths} == set(PHASES)
    assert {f.name for t in truths for f in t.findings} == set(FINDINGS)


def test_only_the_effusion_has_a_side(truths):
    sides = {(f.name, f.side) for t in truths for f in t.findings if f.side}
    assert sides == {("pleural effusion", s) for s in ("left", "right", "bilateral")}


def test_no_finding_is_so_rare_that_silence_would_score(truths):
    for name in FINDINGS:
        assert 0.2 < np.mean([t.finding(name) is not None for t in truths]) < 0.5


def test_a_truth_survives_json(truths):
    assert all(Truth.from_dict(t.to_dict()) == t for t in truths)


def fluid_hu(phantom, x_sign: int) -> float:
    """Share of the back of one half of the chest that is fluid; x grows to the patient's left."""
    volume = phantom.volume
    index = np.stack(np.meshgrid(*map(np.arange, volume.hu.shape), indexing="ij"), axis=-1)
    lps = index @ volume.affine_lps[:3, :3].T + volume.affine_lps[:3, 3]
    x, y, z = np.moveaxis(lps, -1, 0)
    back = (x * x_sign > 60) & (x * x_sign < 100) & (y > 30) & (y < 70) & (z > 30) & (z < 70)
    return float((np.abs(volume.hu[back] - 10) < 60).mean())


@pytest.mark.parametrize(("side", "sign"), [("left", 1), ("right", -1)])
def test_an_effusion_lies_on_the_patients_side(side, sign):
    """On average over phantoms, whatever the plane: the side is the patient's, not the viewer's."""
    seeds = []
    for seed in range(400):
        truth = draw_truth(np.random.default_rng(seed))
        found = truth.finding("pleural effusion")
        if found and found.side == side and found.extent > 0.5:
            seeds.append(seed)
    phantoms = [make_phantom(seed, matrix=SMALL) for seed in seeds[:9]]
    here = np.mean([fluid_hu(p, sign) for p in phantoms])
    there = np.mean([fluid_hu(p, -sign) for p in phantoms])
    assert here > 2 * there


@settings(max_examples=12)
@given(seed=st.integers(0, 2**31))
def test_a_body_without_a_finding_differs_only_where_the_finding_lies(seed):
    whole = make_phantom(seed, matrix=SMALL, focal=True)
    assert set(whole.regions) == {finding.name for finding in whole.truth.findings}
    for finding in whole.truth.findings:
        other = make_phantom(seed, matrix=SMALL, focal=True, without=[finding.name])
        assert other.truth == whole.truth.without([finding.name])
        changed = whole.volume.hu != other.volume.hu
        # the scanner's blur reaches two pixels: its own, and that of a spleen that grew less
        near = widened(whole.regions[finding.name], 2)
        assert changed.any() == whole.regions[finding.name].any()  # not between two pixels
        assert not (changed & ~near).any()


def widened(where: np.ndarray, pixels: int) -> np.ndarray:
    """Include the neighbours within slices, which the scanner blurs."""
    for _ in range(pixels):
        out = where.copy()
        for axis in (1, 2):
            for step in (-1, 1):
                out |= np.roll(where, step, axis)
        where = out
    return where
