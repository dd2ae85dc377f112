import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from dicom_io.model_input.resize import (
    linear_taps,
    pixel_centres,
    resize_nearest,
    resize_trilinear,
)

sizes = st.tuples(*[st.integers(1, 12)] * 3)


@given(n_in=st.integers(1, 600), n_out=st.integers(1, 600))
def test_taps_lie_inside_and_weigh_one(n_in, n_out):
    taps, weights = linear_taps(n_in, pixel_centres(n_in, n_out))
    assert taps.min() >= 0
    assert taps.max() < n_in
    np.testing.assert_allclose(weights.sum(axis=0), 1, atol=1e-6)


@given(shape=sizes, size=sizes)
def test_equals_torch_interpolate(shape, size):
    stack = np.random.default_rng(1).random(shape, np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(stack)[None, None], size, mode="trilinear", align_corners=False
    )
    got = resize_trilinear(stack, size, lambda plane: plane)
    np.testing.assert_allclose(got, expected[0, 0].numpy(), atol=1e-5)


def nearest_by_torch(stack: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    given = torch.from_numpy(stack)[None, None]
    return torch.nn.functional.interpolate(given, size, mode="nearest")[0, 0].numpy()


@given(shape=sizes, size=sizes)
def test_voxels_are_chosen_as_torch_does(shape, size):
    stack = np.random.default_rng(1).random(shape, np.float32)
    got = resize_nearest(stack, size, lambda plane: plane)
    np.testing.assert_array_equal(got, nearest_by_torch(stack, size))


def test_values_pass_through_the_map_before_interpolation():
    stack = np.array([[[0, 10]]])
    squared = resize_trilinear(stack, (1, 1, 1), lambda plane: plane**2)
    assert squared.item() == 50


def test_views_are_resized_without_a_copy_of_their_order():
    stack = np.random.default_rng(1).random((4, 5, 6), np.float32)
    turned = stack[::-1, :, ::-1]
    np.testing.assert_array_equal(
        resize_trilinear(turned, (3, 3, 3), lambda plane: plane),
        resize_trilinear(np.ascontiguousarray(turned), (3, 3, 3), lambda plane: plane),
    )
