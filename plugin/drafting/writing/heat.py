"""From the evidence that an engine names to the maps that the reading room lays over images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicom_io.model_input.preprocess import ModelInput
from engine.judgement.protocol import Evidence
from reporting.draft import one_line


@dataclass(frozen=True)
class Heat:
    """The map of one sentence.

    Parameters
    ----------
    sentence : str
        In one line.
    grid : dict
        Where its voxels lie: dimensions (columns, rows, slices), spacing in mm, origin (the
        middle of the first voxel) and direction (three unit vectors), in patient coordinates, LPS.
    values : bytes
        One for each voxel, columns first: 255 in the best one.
    """

    sentence: str
    grid: dict[str, Any]
    values: bytes


def heat_maps(found: Sequence[Evidence], text: str, model_input: ModelInput) -> tuple[Heat, ...]:
    """Make the map of each sentence whose evidence is known.

    Parameters
    ----------
    found : sequence of Evidence
    text : str
        That their sentences stand in.
    model_input : ModelInput
        Whose cells these are.
    """
    return tuple(
        Heat(
            one_line(text[slice(*one.span)]),
            _grid(one.weights.shape, one.affine_lps(model_input)),
            (one.weights.clip(0, 1) * 255).round().astype(np.uint8).tobytes(),
        )
        for one in found
    )


def _grid(cells: tuple[int, ...], affine: NDArray[np.float64]) -> dict[str, Any]:
    along = affine[:3, 2::-1].T  # columns, rows and slices
    spacing = np.linalg.norm(along, axis=1)
    return {
        "dimensions": list(cells[::-1]),
        "spacing": spacing.tolist(),
        "origin": affine[:3, 3].tolist(),
        "direction": (along / spacing[:, None]).ravel().tolist(),
    }
