"""Geometry of generated stacks: order, affine, tilt, uneven distances."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_io.errors import GeometryError, IncompleteSeries
from dicom_io.slices.frames import slices_of
from dicom_io.types import Instance, Series
from dicom_io.volume.geometry import grid_of
from tests.ct import ct_slice, ct_stack

PLANE = np.zeros((6, 8))


def series_of(images) -> Series:
    return Series("1.2", tuple(Instance(Path("memory"), image) for image in images))


def grid(images):
    return grid_of(slices_of(series_of(images)))


def rotation(a, b, c):
    """A rotation by three Euler angles."""
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return x @ y @ z


angles = st.floats(-3.1, 3.1)


@st.composite
def affines(draw):
    """Any orientation and spacing: D, H, W perpendicular."""
    affine = np.eye(4)
    spacing = [draw(st.floats(0.4, 8)), draw(st.floats(0.3, 2)), draw(st.floats(0.3, 2))]
    turn = rotation(draw(angles), draw(angles), draw(angles))
    affine[:3, :3] = turn[:, [2, 1, 0]] * spacing
    affine[:3, 3] = [draw(st.floats(-500, 500)) for _ in range(3)]
    return affine


def stacks(n, affine):
    return ct_stack(np.zeros((n, *PLANE.shape)), affine)


@settings(max_examples=30)
@given(affine=affines(), order=st.permutations(range(7)))
def test_the_order_of_the_files_does_not_matter(affine, order):
    images = stacks(7, affine)
    straight, shuffled = grid(images), grid([images[k] for k in order])
    assert [s.number for s in straight.slices] == [s.number for s in shuffled.slices]
    np.testing.assert_array_equal(straight.affine_lps, shuffled.affine_lps)


@settings(max_examples=30)
@given(affine=affines())
def test_the_affine_maps_each_slice_to_its_image_position(affine):
    built = grid(stacks(6, affine))
    assert built.notes == ()
    for k, plane in enumerate(built.slices):
        np.testing.assert_allclose(built.affine_lps @ [k, 0, 0, 1], [*plane.position, 1], atol=1e-4)


@settings(max_examples=30)
@given(affine=affines())
def test_the_stack_runs_along_row_cross_column(affine):
    built = grid(stacks(6, affine))
    d, h, w = built.affine_lps[:3, :3].T
    assert np.cross(w, h) @ d > 0


@settings(max_examples=40)
@given(affine=affines(), tilt=st.floats(-30, 30), n=st.integers(5, 12))
def test_a_tilted_stack_is_moved_to_where_its_slices_lie(affine, tilt, n):
    leaning = affine.copy()
    spacing = np.linalg.norm(affine[:3, 0])
    leaning[:3, 0] += (
        np.tan(np.deg2rad(tilt)) * spacing * affine[:3, 1] / np.linalg.norm(affine[:3, 1])
    )
    built = grid(stacks(n, leaning))
    for place, shift, plane in zip(built.places, built.shifts, built.slices, strict=True):
        at = built.affine_lps @ [place, *shift, 1]
        np.testing.assert_allclose(at, [*plane.position, 1], atol=1e-4)
        inside = shift + PLANE.shape <= np.array(built.shape[1:]) + 1e-3
        assert inside.all()
        assert (shift >= -1e-3).all()
    if built.notes:
        d, h, w = built.affine_lps[:3, :3].T
        assert abs(d @ h) < 1e-6
        assert abs(d @ w) < 1e-6
        assert f"tilted by {abs(tilt):.1f} degrees" in built.notes[0]


def upright(places, **attributes):
    return [ct_slice(PLANE, (0, 0, z), number=k + 1, **attributes) for k, z in enumerate(places)]


def test_two_slice_distances_are_resampled_on_true_positions():
    places = [0, 3, 6, 9, 12, 15, 20, 25, 30, 35]
    built = grid(upright(places))
    d = built.affine_lps[2, 0]
    assert built.shape[0] == 13
    np.testing.assert_allclose(built.places * d, places, atol=1e-6)
    assert "distance between slices varies from 3.00 to 5.00 mm" in built.notes[0]


def test_an_uneven_stack_gets_at_most_twice_its_slices():
    built = grid(upright([0, 0.1, 5, 10, 15, 20]))
    assert built.shape[0] == 12
    np.testing.assert_allclose(built.places[-1], 11)


def test_rounded_positions_are_even():
    built = grid(upright([round(k * 0.625, 2) for k in range(40)]))
    assert built.notes == ()
    assert built.shape[0] == 40


def test_a_missing_slice_is_noted_and_its_place_kept():
    places = [z for z in range(20) if z != 7]
    built = grid(upright(places))
    np.testing.assert_allclose(built.places, places)
    assert built.notes == (
        "1 slice is missing between image 7 at (0.0, 0.0, 6.0) mm "
        "and image 8 at (0.0, 0.0, 8.0) mm; interpolated.",
    )


@pytest.mark.parametrize("lost", [range(5, 8), [2, 4, 6, 8, 10]])
def test_many_missing_slices_are_refused_and_their_positions_named(lost):
    images = [image for k, image in enumerate(upright(range(20))) if k not in lost]
    with pytest.raises(IncompleteSeries, match=rf"missing between image {min(lost)} at \(0.0, 0.0"):
        grid(images)


def test_repeated_positions_are_refused_and_named():
    images = [*upright(range(5)), ct_slice(PLANE, (0, 0, 3), number=9)]
    with pytest.raises(GeometryError, match=r"images 4, 9 all lie at \(0.00, 0.00, 3.00\) mm"):
        grid(images)


def test_mixed_orientations_are_refused_and_named():
    coronal = ct_slice(PLANE, (0, 9, 9), number=7, orientation=((1, 0, 0), (0, 0, -1)))
    with pytest.raises(GeometryError, match=r"2 kinds of slices are mixed \(images 1-5.*image 7"):
        grid([*upright(range(5)), coronal])


def test_mixed_sizes_are_refused():
    with pytest.raises(GeometryError, match="9x9 pixels"):
        grid([*upright(range(5)), ct_slice(np.zeros((9, 9)), (0, 0, 7), number=6)])


def test_a_single_slice_is_no_volume():
    with pytest.raises(GeometryError, match="image 1 alone is no volume"):
        grid(upright([4]))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "not two perpendicular unit vectors"),
        ({"ImageOrientationPatient": [1, 0, 0]}, "is not 6 numbers"),
        ({"PixelSpacing": [0, 1]}, "PixelSpacing is not positive"),
    ],
)
def test_impossible_attributes_are_named_with_their_image(wrong, says):
    with pytest.raises(GeometryError, match=f"image 1: .*{says}|image 1: {says}"):
        grid(upright(range(3), **wrong))


def test_slices_scattered_within_their_plane_are_refused():
    images = upright(range(8))
    images[5].ImagePositionPatient = [90000, 0, 5]
    with pytest.raises(GeometryError, match="displaced within their plane by up to 90000 mm"):
        grid(images)


def test_a_distance_far_beyond_the_others_does_not_fill_the_memory():
    places = [*np.arange(11) / 10, *range(100, 1100, 100)]
    assert grid(upright(places)).shape[0] == 2 * len(places)


@pytest.mark.parametrize("places", [range(0, 12000, 2000), [*range(10), 1e5], range(0, 3500, 50)])
def test_slices_that_lie_farther_apart_than_a_table_moves_are_refused(places):
    with pytest.raises(GeometryError, match=r"slices .* mm apart, over"):
        grid(upright(places))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"PixelSpacing": [1000, 1000]}, "PixelSpacing of 1e"),
        ({"PixelSpacing": [1e-300, 1e-300]}, "PixelSpacing of 1e-300"),
        ({"PixelSpacing": [0.7, 300]}, "PixelSpacing"),
        ({"Rows": 65535}, "65535 rows"),
        ({"Rows": 0}, "0 rows"),
        ({"RescaleSlope": 1e-300}, "RescaleSlope"),
        ({"RescaleSlope": 1e300}, "RescaleSlope"),
    ],
)
def test_what_no_scanner_makes_is_refused_before_memory_is_taken(wrong, says):
    images = upright(range(5))
    for keyword, value in wrong.items():
        setattr(images[2], keyword, value)
    with pytest.raises(GeometryError, match=rf"image 3: .*{says}"):
        grid(images)
