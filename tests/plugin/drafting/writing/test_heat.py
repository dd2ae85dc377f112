"""A cell of the evidence lies on the screen where it lies in the model's input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_io.model_input.preprocess import ModelInput, PreprocessSpec
from engine.judgement.protocol import Evidence
from plugin.drafting.writing.heat import heat_maps
from plugin.drafting.writing.pipeline import Pipeline
from tests.plugin.drafting.writing.test_evidence import Explaining
from tests.plugin.drafting.writing.test_evidence import paths as paths

SIZE = (8, 12, 6)
CELLS = (4, 3, 2)


def seen(affine: np.ndarray) -> ModelInput:
    return ModelInput(np.zeros((1, *SIZE), np.float32), PreprocessSpec(size=SIZE), affine, ())


def turned(angles: tuple[float, float, float], spacing: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = (i for i in range(3) if i != axis)
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    affine = np.eye(4)
    affine[:3, :3] = matrix[:, ::-1] * spacing  # slices, rows, columns
    affine[:3, 3] = 10.0, -20.0, 30.0
    return affine


ANGLE = st.floats(-1.5, 1.5)
MM = st.floats(0.3, 7.0)


@given(st.tuples(ANGLE, ANGLE, ANGLE), st.tuples(MM, MM, MM))
def test_the_middle_of_every_cell_is_where_the_grid_says(angles, spacing):
    model_input = seen(turned(angles, spacing))
    weights = np.zeros(CELLS, np.float32)
    (heat,) = heat_maps([Evidence((0, 3), "x", weights)], "One.", model_input)
    grid, size = heat.grid, np.array(SIZE) / CELLS
    direction = np.reshape(grid["direction"], (3, 3))
    for cell in np.ndindex(CELLS):
        voxel = (np.array(cell) + 0.5) * size - 0.5  # of the input
        expected = (model_input.affine_lps @ [*voxel, 1.0])[:3]
        steps = np.array(cell[::-1]) * grid["spacing"]
        assert np.allclose(grid["origin"] + steps @ direction, expected)


def test_bytes_go_by_columns_first_and_words_stand_in_one_line():
    weights = np.zeros(CELLS, np.float32)
    weights[1, 2, 1] = 1
    weights[3, 0, 0] = 0.5
    text = "There is\nascites. No."
    (heat,) = heat_maps([Evidence((0, 17), "ascites", weights)], text, seen(np.eye(4)))
    columns, rows, slices = heat.grid["dimensions"]
    assert (columns, rows, slices) == CELLS[::-1]
    assert heat.sentence == "There is ascites."
    assert heat.values[(1 * rows + 2) * columns + 1] == 255
    assert heat.values[3 * rows * columns] == 128
    assert len(heat.values) == columns * rows * slices
    assert sum(map(bool, heat.values)) == 2


@pytest.mark.parametrize(("evidence_s", "count"), [(10.0, 2), (0.0, 0)])
def test_a_draft_has_the_map_of_each_sentence_that_has_evidence(paths, evidence_s, count):
    report = Pipeline(Explaining(), evidence_s=evidence_s).make_report(paths)
    assert len(report.heat) == count
