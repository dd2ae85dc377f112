"""Where lungs are found along a volume."""

import numpy as np
import pytest

from dicom_io.model_input.lungs import Piece, _joined, lung_slices
from dicom_io.model_input.preprocess import PreprocessSpec


def body(slices: int, *lungs: tuple[int, int]) -> np.ndarray:
    """A cylinder of water of 60 x 60 voxels with air in some of its slices."""
    hu = np.full((slices, 60, 60), -1000, np.float32)
    hu[:, 5:55, 5:55] = 40
    for low, high in lungs:
        hu[low : high + 1, 10:50, 10:50] = -800
    return hu


def test_the_lungs_are_the_air_that_the_body_goes_around():
    assert lung_slices(body(80, (30, 60)), 2.0) == (30, 60)


@pytest.mark.parametrize("hu", [body(40), np.full((4, 8, 8), -1000, np.float32)])
def test_without_enclosed_air_there_are_none(hu):
    assert lung_slices(hu, 2.0) is None


def test_a_little_air_is_no_lung():
    assert lung_slices(body(40, (10, 20)), 1.0) is None  # 18 ml


def test_what_lies_far_below_is_bowel():
    assert lung_slices(body(120, (5, 20), (70, 100)), 2.0) == (70, 100)


def test_what_lies_closely_below_belongs_to_them():
    assert lung_slices(body(120, (40, 60), (70, 100)), 2.0) == (40, 100)


def test_pieces_are_joined_up_to_the_longest_extent():
    pieces = [Piece(200, 300, 9), Piece(60, 190, 9), Piece(20, 55, 9)]
    assert _joined(pieces, 2.0) == (60, 300)


def test_the_search_needs_slices_from_foot_to_head():
    with pytest.raises(ValueError, match="foot to head"):
        PreprocessSpec(spacing_mm=(2, 2, 2), scaling="fixed", crop_foreground=False, centre="lungs")
