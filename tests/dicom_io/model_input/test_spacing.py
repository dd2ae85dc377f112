"""A grid of given spacing: the values are those of the authors' MONAI transforms."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dicom_io.model_input import preprocess, spacing
from dicom_io.model_input.preprocess import ModelInput, PreprocessSpec, prepare
from dicom_io.model_input.spacing import Axis, axis_over
from dicom_io.types import Volume

GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text())
MERLIN = PreprocessSpec(
    size=(160, 224, 224),
    window=(0, 2000),
    scaling="fixed",
    crop_foreground=False,
    spacing_mm=(3, 1.5, 1.5),
    orientation="SRA",
)
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def prepared(figure: dict[str, Any], spec: PreprocessSpec) -> ModelInput:
    """An array of NIfTI's axes, prepared; its last axis is the slices."""
    values = np.random.default_rng(figure["seed"]).random(figure["shape"]) * 2600 - 1300
    affine = RAS_TO_LPS @ np.array(figure["affine"], float)[:, [2, 1, 0, 3]]
    return prepare(Volume(np.trunc(values).astype(np.int16).transpose(2, 1, 0), affine), spec)


# on an oblique volume MONAI keeps the tilt in a matrix, and rounds there
@pytest.mark.parametrize(
    ("case", "within"),
    [("lps_small", 1e-5), ("crop", 1e-5), ("permuted", 1e-5), ("oblique", 1e-3)],
)
def test_equals_what_merlin_sees(case: str, within: float):
    figure = GOLDEN["merlin"][case]
    seen = prepared(figure, MERLIN).pixels.transpose(0, 2, 3, 1)  # right, front, head
    box = tuple(slice(low, high + 1) for low, high in zip(*figure["box"], strict=True))
    inner = seen[box].ravel()
    expected = np.array(figure["inner"]["samples"])
    assert list(seen[box].shape) == figure["inner"]["shape"]
    where = torch.linspace(0, len(inner) - 1, len(expected)).long().numpy()  # as it was printed
    np.testing.assert_allclose(inner[where], expected, atol=within)
    # printed from a sum of millions of float32 squares
    assert norm(inner) == pytest.approx(figure["inner"]["l2"], rel=max(within, 1e-4))
    assert norm(seen) == pytest.approx(norm(inner), rel=1e-9)


def phantom(figure: dict[str, Any]) -> Volume:
    """An ellipse with two lungs or none, along NIfTI's axes."""
    n, spacing = figure["shape_ijk"], figure["spacing"]
    u, w = (
        (np.arange(count) - (count - 1) / 2) * mm
        for count, mm in zip(n[:2], spacing[:2], strict=True)
    )
    u, w, k = u[:, None, None], w[None, :, None], np.arange(n[2])
    hu = np.where((u / 150) ** 2 + (w / 110) ** 2 <= 1, 40, -1000) + np.zeros(n, int)
    in_lungs = ((abs(u) - 70) / 45) ** 2 + (w / 70) ** 2 <= 1
    if figure["lungs"]:
        hu[in_lungs & (0.45 * n[2] <= k) & (k <= 0.75 * n[2])] = -800
    hu += np.random.default_rng(figure["seed"]).integers(-30, 31, n)
    affine = RAS_TO_LPS @ np.array(figure["affine"], float)[:, [2, 1, 0, 3]]
    return Volume(hu.astype(np.int16).transpose(2, 1, 0), affine)


NV_REASON = PreprocessSpec(
    size=(192, 192, 192),
    window=(0, 2000),
    scaling="fixed",
    crop_foreground=False,
    spacing_mm=(2, 2, 2),
    spacing_tolerance_mm=0.2,
    orientation="SPL",
)


def assert_equals_what_nv_reason_sees(figure: dict[str, Any]) -> None:
    spec = replace(NV_REASON, centre="lungs" if figure["region"] == "chest" else "middle")
    seen = 2 * prepare(phantom(figure), spec).pixels[0] - 1
    found = seen[tuple(np.array(figure["at_zyx"]).T)]
    np.testing.assert_allclose(found, figure["values"], atol=1e-5)
    assert seen.mean(dtype=float) == pytest.approx(figure["mean"], abs=1e-6)


@pytest.mark.parametrize("figure", [f for f in GOLDEN["nv_reason"] if f["seed"] != 73])
def test_equals_what_nv_reason_sees(figure: dict[str, Any]):
    assert_equals_what_nv_reason_sees(figure)


def test_only_the_float32_of_a_nifti_header_moves_an_oblique_volume_for_nv_reason(
    monkeypatch: pytest.MonkeyPatch,
):
    """Its axes are then not quite at right angles, so that no corner is the lowest on all three.

    MONAI lays the middle of the new grid over the middle of the old one instead, both counted from
    voxel 0, and half a sample more becomes a whole one. Whether that happens is up to the rounding:
    on the oblique volume of Merlin's figures it does not.
    """

    def over_the_middle(
        voxels: int, spacing_mm: float, wanted_mm: float, size: int, centre: float | None = None
    ) -> Axis:
        axis = axis_over(voxels, spacing_mm, wanted_mm, size, centre)
        return replace(axis, start=(voxels - more(voxels, spacing_mm, wanted_mm) * axis.step) / 2)

    def more(voxels: int, spacing_mm: float, wanted_mm: float) -> int:
        return round((voxels - 1) * spacing_mm / wanted_mm + 1 + 1e-6)

    [figure] = [f for f in GOLDEN["nv_reason"] if f["seed"] == 73]
    monkeypatch.setattr(preprocess, "axis_over", over_the_middle)
    monkeypatch.setattr(preprocess, "resampled_size", more)
    monkeypatch.setattr(spacing, "resampled_size", more)
    assert_equals_what_nv_reason_sees(figure)


@pytest.mark.parametrize("figure", GOLDEN["ct_chat"])
def test_equals_what_ct_chat_sees(figure: dict[str, Any]):
    spec = PreprocessSpec(
        size=(240, 480, 480),
        window=(0, 2000),
        scaling="fixed",
        crop_foreground=False,
        spacing_mm=(1.5, 0.75, 0.75),
        keeps="ends",
        orientation="SLP",
    )
    raw = np.random.default_rng(figure["seed"]).integers(-1300, 2200, figure["raw_shape_ijk"])
    hu = (raw + figure["intercept"]).astype(np.int16).transpose(2, 1, 0)
    spacing = [figure["xy_spacing"]] * 2 + [figure["z_spacing"]]
    affine = np.diag([*spacing, 1.0])[:, [2, 1, 0, 3]]
    seen = 2 * prepare(Volume(hu, affine), spec).pixels[0] - 1
    found = seen[tuple(np.array(figure["at"]).T)]
    np.testing.assert_allclose(found, figure["values"], atol=1e-5)
    assert seen.mean(dtype=float) == pytest.approx(figure["mean"], abs=1e-6)
    assert norm(seen) == pytest.approx(figure["l2"], rel=1e-4)


def test_equals_what_ct2rep_sees():
    figure = GOLDEN["ct2rep"]
    spec = PreprocessSpec(
        size=(240, 480, 480),
        window=(-400, 1200),
        scaling="fixed",
        crop_foreground=False,
        spacing_mm=(1.5, 0.75, 0.75),
        keeps="ends",
        orientation="SLP",
    )
    stored = np.random.default_rng(figure["seed"]).random(figure["shape"], np.float32) * 2.6 - 1.3
    affine = np.diag([0.75, 0.75, 1.5, 1.0])[:, [2, 1, 0, 3]]
    seen = 2 * prepare(Volume(1000 * stored.transpose(0, 2, 1), affine), spec).pixels[0] - 1
    found = seen[tuple(np.array(figure["at"]).T)]
    np.testing.assert_allclose(found, figure["values"], atol=1e-5)
    assert seen.mean(dtype=float) == pytest.approx(figure["mean"], abs=1e-6)
    inside = np.argwhere(seen > -1)
    assert inside.min(axis=0).tolist() == figure["content_low"]
    assert (inside.max(axis=0) + 1).tolist() == figure["content_high"]


def test_an_axis_that_is_nearly_right_keeps_its_own_spacing():
    hu = np.zeros((5, 6, 7), np.int16)
    affine = np.diag([2.1, 2.0, 5.0, 1.0])[:, [2, 1, 0, 3]]
    spec = replace(MERLIN, spacing_mm=(2, 2, 2), spacing_tolerance_mm=0.2, orientation="SPL")
    spacing = np.linalg.norm(prepare(Volume(hu, affine), spec).affine_lps[:3, :3], axis=0)
    np.testing.assert_allclose(spacing, (2, 2, 2.1))


def norm(values: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.square(values, dtype=np.float64).sum()))


def test_the_affine_leads_back_to_the_voxels():
    hu = np.full((9, 20, 30), -1000, np.int16)
    hu[4, 10, 12] = 1000
    affine = np.diag([1.5, 1.5, 3.0, 1.0])[:, [2, 1, 0, 3]]
    affine[:3, 3] = (7, -3, 50)
    seen = prepare(Volume(hu, affine), MERLIN)
    at = np.array([*np.argwhere(seen.pixels[0] == 1)[0], 1])
    np.testing.assert_allclose(seen.affine_lps @ at, affine @ [4, 10, 12, 1], atol=1e-9)


def test_the_smaller_half_of_an_odd_rest_comes_first():
    assert axis_over(5, 1, 1, 8).within == (1, 6)
    assert axis_over(9, 1, 1, 4).first == 2


def test_a_volume_of_one_voxel_is_a_point_in_air():
    assert axis_over(1, 5, 1.5, 4).within == (1, 2)


@pytest.mark.parametrize(
    "odd",
    [
        {"spacing_mm": (1, 1)},
        {"spacing_mm": (1, 1, 0)},
        {"spacing_mm": (1, 1, 1), "scaling": "minmax"},
        {"spacing_mm": (1, 1, 1), "crop_foreground": True},
        {"spacing_mm": (1, 1, 1), "companding": ((-1000, 0), (1000, 1))},
        {"spacing_mm": (1, 1, 1), "interpolation": "none"},
        {"spacing_mm": None, "keeps": "ends"},
    ],
)
def test_what_contradicts_a_spacing_is_refused(odd: dict[str, Any]):
    plain = {"scaling": "fixed", "crop_foreground": False}
    with pytest.raises(ValueError, match=r"spacing_mm"):
        PreprocessSpec(**{**plain, **odd})


def test_json_brings_a_spacing_back():
    assert PreprocessSpec.from_dict(json.loads(json.dumps(MERLIN.to_dict()))) == MERLIN
