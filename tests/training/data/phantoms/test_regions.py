import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_io.model_input.preprocess import PreprocessSpec, prepare
from dicom_io.phantoms.phantom import make_phantom
from dicom_io.phantoms.truth import PLANES
from training.data.phantoms.regions import CELL, cells_of, grid, packed, unpacked


@settings(max_examples=20)
@given(seed=st.integers(0, 99), size=st.tuples(*[st.integers(1, 40)] * 3))
def test_cells_survive_being_packed(seed, size):
    cells = np.random.default_rng(seed).random(grid(size)) < 0.3
    again = unpacked(packed({"ascites": cells}), ("splenomegaly", "ascites"), size)
    assert np.array_equal(again[1], cells)
    assert not again[0].any()


def test_a_voxel_marks_the_cell_that_it_lies_in():
    region = np.zeros((20, 20, 20), np.bool_)
    region[3, CELL, 2 * CELL + 1] = True
    cells = cells_of(region, np.eye(4), (24, 24, 24))
    assert np.argwhere(cells).tolist() == [[0, 1, 2]]


def test_what_was_cropped_away_is_not_marked():
    region = np.ones((4, 4, 4), np.bool_)
    away = np.eye(4)
    away[:3, 3] = 100
    assert not cells_of(region, away, (16, 16, 16)).any()


@pytest.mark.parametrize("plane", PLANES)
def test_a_lesion_is_where_the_input_differs(plane):
    seed = next(s for s in range(99) if "liver lesion" in make_phantom(s, focal=True).regions)
    spec = PreprocessSpec(size=(32, 64, 64), scaling="fixed")
    whole = make_phantom(seed, plane=plane, focal=True)
    other = make_phantom(seed, plane=plane, focal=True, without=["liver lesion"])
    made = prepare(whole.volume, spec)
    to_input = np.linalg.inv(made.affine_lps) @ whole.volume.affine_lps
    cells = cells_of(whole.regions["liver lesion"], to_input, spec.size)
    change = np.abs(made.pixels - prepare(other.volume, spec).pixels)[0]
    blocks = change.reshape(4, CELL, 8, CELL, 8, CELL).max(axis=(1, 3, 5))
    assert cells[np.unravel_index(blocks.argmax(), blocks.shape)]
    assert not (blocks[~cells] > 0.5 * blocks.max()).any()
