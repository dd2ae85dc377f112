"""Volumes of generated series: HU, tilt, gaps, uneven distances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_io.errors import GeometryError
from dicom_io.slices.read import read_study
from dicom_io.volume.stacks import stack_of
from dicom_io.volume.volume import build_volume
from tests.ct import ct_slice, ct_stack, save

AFFINE = np.array([[0, 0, 0.8, -9], [0, 0.7, 0, 5], [2.5, 0, 0, 100], [0, 0, 0, 1]])


def built(images, folder):
    return build_volume(stack_of(read_study([save(images, folder)]).series[0]))


def some_hu(shape=(6, 7, 9), seed=1):
    return np.random.default_rng(seed).integers(-1024, 3000, shape)


def test_a_plain_stack_comes_back_as_it_was(tmp_path):
    hu = some_hu()
    volume = built(ct_stack(hu, AFFINE), tmp_path)
    assert volume.hu.dtype == np.int16
    assert volume.notes == ()
    np.testing.assert_array_equal(volume.hu, hu)
    np.testing.assert_allclose(volume.affine_lps, AFFINE, atol=1e-6)


def test_the_instances_are_named_in_the_order_of_the_slices(tmp_path):
    images = ct_stack(some_hu(), AFFINE)
    volume = built(images[::-1], tmp_path)
    assert volume.sop_instance_uids == tuple(image.SOPInstanceUID for image in images)


def test_numbers_and_names_do_not_order_the_slices(tmp_path):
    hu = some_hu()
    images = ct_stack(hu, AFFINE)
    for image, number in zip(images, [3, 1, 6, 2, 5, 4], strict=True):
        image.InstanceNumber = number
    np.testing.assert_array_equal(built(images, tmp_path).hu, hu)


def test_slope_and_intercept_are_applied_slice_by_slice_and_once(tmp_path):
    hu = np.full((4, 5, 6), 60)
    images = [
        ct_slice(plane, (0, 0, k), number=k, slope=slope, intercept=intercept)
        for k, (plane, slope, intercept) in enumerate(
            zip(hu, [1, 2, 4, 5], [-1024, -1000, 0, -40], strict=True)
        )
    ]
    np.testing.assert_array_equal(built(images, tmp_path).hu, hu)


def test_a_fractional_slope_makes_a_float_volume(tmp_path):
    hu = np.full((4, 5, 6), 12.5)
    volume = built(ct_stack(hu, AFFINE, slope=0.5), tmp_path)
    assert volume.hu.dtype == np.float32
    np.testing.assert_array_equal(volume.hu, hu)


def test_hu_beyond_sixteen_bits_make_a_float_volume(tmp_path):
    hu = some_hu() // 2 * 2  # what a slope of 2 can hold
    hu[3, 2, 2] = 40000
    volume = built(ct_stack(hu, AFFINE, slope=2), tmp_path)
    assert volume.hu.dtype == np.float32
    np.testing.assert_array_equal(volume.hu, hu)


def turned(tilt_deg, sign_of_stack=1):
    """Affine of a stack along z whose planes lean by `tilt_deg` about the x axis."""
    a = np.deg2rad(tilt_deg)
    affine = np.eye(4)
    affine[:3, 0] = [0, 0, 2.0 * sign_of_stack]
    affine[:3, 1] = [0, np.cos(a), np.sin(a)]
    affine[:3, 2] = [1, 0, 0]
    affine[:3, 3] = [-20, -20, 50]
    return affine


def rod(affine, shape, direction, through):
    """HU of slices through a straight soft rod of 6 mm, drawn where each pixel lies."""
    index = np.indices(shape).reshape(3, -1)
    at = (affine[:3, :3] @ index).T + affine[:3, 3] - through
    direction = np.array(direction) / np.linalg.norm(direction)
    distance = np.linalg.norm(at - np.outer(at @ direction, direction), axis=1)
    return (np.exp(-((distance / 6) ** 2)) * 1000).reshape(shape)


@pytest.mark.parametrize("tilt", [-25, -12, 8, 18.5, 30])
@pytest.mark.parametrize("direction", [(0, 0, 1), (0.2, 0.3, 1)])
def test_a_straight_rod_stays_straight_and_in_its_place(tmp_path, tilt, direction):
    shape, through = (15, 40, 40), np.array([0.0, 3.0, 65.0])
    affine = turned(tilt)
    volume = built(ct_stack(rod(affine, shape, direction, through), affine), tmp_path)
    assert f"tilted by {abs(tilt):.1f} degrees" in volume.notes[0]
    expected = rod(volume.affine_lps, volume.hu.shape, direction, through)
    inside = volume.hu > -1000  # the sheared corners are air
    assert inside.mean() > 0.6
    np.testing.assert_allclose(volume.hu[inside], expected[inside], atol=25)


@settings(max_examples=15)
@given(tilt=st.floats(-30, 30), lateral=st.floats(-0.4, 0.4))
def test_a_linear_field_survives_any_shear(tmp_path_factory, tilt, lateral):
    affine = turned(tilt)
    affine[:3, 0] += lateral * affine[:3, 2] * 2
    shape = (8, 30, 30)

    def field(matrix, shape):
        at = np.tensordot(matrix[:3, :3], np.indices(shape), 1) + matrix[:3, 3, None, None, None]
        return at[0] * 3 + at[1] * 5 - at[2] * 2

    folder = tmp_path_factory.mktemp("field")
    volume = built(ct_stack(field(affine, shape), affine, slope=0.02), folder)
    inside = volume.hu > -1024
    expected = field(volume.affine_lps, volume.hu.shape)
    np.testing.assert_allclose(volume.hu[inside], expected[inside], atol=0.05)


def ramp(places):
    """Slices whose HU is ten times their position."""
    return [
        ct_slice(np.full((4, 5), 10 * z), (0, 0, z), number=k + 1) for k, z in enumerate(places)
    ]


def test_a_missing_slice_is_interpolated_between_its_neighbours(tmp_path):
    volume = built(ramp([z for z in range(20) if z not in (6, 13)]), tmp_path)
    np.testing.assert_array_equal(volume.hu[:, 0, 0], np.arange(0, 200, 10))
    assert len(volume.notes) == 2
    assert len(volume.sop_instance_uids) == 18


@settings(max_examples=20)
@given(gaps=st.lists(st.sampled_from([2, 3, 5]), min_size=4, max_size=12))
def test_uneven_slices_are_resampled_on_their_true_positions(tmp_path_factory, gaps):
    places = np.cumsum([0, 2, 2, 2, 3, 3, 3, *gaps, 5, 5, 5])
    volume = built(ramp(places), tmp_path_factory.mktemp("ramp"))
    z = volume.affine_lps[2, 0] * np.arange(len(volume.hu))
    np.testing.assert_allclose(volume.hu[:, 2, 2], 10 * z, atol=1.0)
    assert z[-1] == pytest.approx(places[-1])


def test_a_series_of_repeated_positions_is_refused(tmp_path):
    images = [*ct_stack(some_hu(), AFFINE), *ct_stack(some_hu(), AFFINE)]
    with pytest.raises(GeometryError, match="6 positions are taken by several slices"):
        built(images, tmp_path)


def test_small_drift_stays_in_the_affine(tmp_path):
    leaning = AFFINE.copy()
    leaning[1, 0] = 0.05
    volume = built(ct_stack(some_hu(), leaning), tmp_path)
    assert volume.notes == ()
    np.testing.assert_allclose(volume.affine_lps, leaning, atol=1e-5)
