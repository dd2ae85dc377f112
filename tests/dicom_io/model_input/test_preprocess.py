import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_io.model_input.preprocess import PreprocessSpec, prepare
from dicom_io.types import Volume

AXIAL = np.diag([0.8, 0.8, -3.0, 1.0])[:, [2, 1, 0, 3]]  # slices head to feet, as displayed


def a_body(shape=(20, 48, 40), seed=0):
    """Air with a noisy box in it, so that there is a foreground to crop to."""
    rng = np.random.default_rng(seed)
    hu = np.full(shape, -1000, np.int16)
    hu[2:-3, 6:-9, 4:-7] = rng.integers(
        -300, 900, tuple(n - m for n, m in zip(shape, (5, 15, 11), strict=True))
    )
    return hu


def by_monai(hu, spec, low, high):
    # Here, for its import takes longer than every other test of this file
    from monai.transforms import CropForeground, Resize, ScaleIntensity, ScaleIntensityRange

    x = torch.from_numpy(hu.astype(np.float32))[None]
    x = ScaleIntensityRange(low, high, 0, 1, clip=True)(x)
    x = ScaleIntensity()(x) if spec.scaling == "minmax" else x
    x = CropForeground()(x) if spec.crop_foreground else x
    return Resize(spec.size, mode=spec.interpolation)(x).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("scaling", ["minmax", "fixed"])
@pytest.mark.parametrize("crop", [True, False])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_equals_the_monai_path(scaling, crop, dtype):
    hu = a_body().astype(dtype)
    spec = PreprocessSpec((16, 24, 32), scaling=scaling, crop_foreground=crop)
    pixels = prepare(Volume(hu, AXIAL), spec).pixels
    assert pixels.shape == (1, 16, 24, 32)
    assert pixels.dtype == np.float32
    np.testing.assert_allclose(pixels, by_monai(hu, spec, -160, 240), atol=1e-5)


@settings(max_examples=40)
@given(
    size=st.tuples(*[st.integers(1, 30)] * 3),
    shape=st.tuples(st.integers(8, 24), st.integers(20, 40), st.integers(16, 40)),
    centre=st.floats(-300, 300),
    width=st.floats(1, 2000),
)
def test_equals_monai_for_any_size_and_window(size, shape, centre, width):
    hu = a_body(shape)
    spec = PreprocessSpec(size, window=(centre, width))
    expected = by_monai(hu, spec, centre - width / 2, centre + width / 2)
    np.testing.assert_allclose(prepare(Volume(hu, AXIAL), spec).pixels, expected, atol=1e-4)


@pytest.mark.slow
def test_min_max_stretches_what_the_window_leaves():
    hu = a_body().clip(-100, 100)
    spec = PreprocessSpec((20, 48, 40))
    expected = by_monai(hu, spec, -160, 240)
    np.testing.assert_allclose(prepare(Volume(hu, AXIAL), spec).pixels, expected, atol=1e-5)
    assert expected.max() == 1


def test_the_series_window_is_used_where_the_spec_names_none():
    volume = Volume(a_body(), AXIAL)
    own = prepare(volume, PreprocessSpec((8, 8, 8)), window=(300, 1500))
    fixed = prepare(volume, PreprocessSpec((8, 8, 8), window=(300, 1500)), window=(0, 10))
    np.testing.assert_array_equal(own.pixels, fixed.pixels)
    assert "HU windowed at centre 300, width 1500" in own.steps


@pytest.mark.slow
def test_a_companding_curve_is_applied_before_interpolation():
    knots = ((-1000.0, 0.0), (-200.0, 0.1), (250.0, 0.9), (1500.0, 1.0))
    spec = PreprocessSpec((7, 9, 11), companding=knots, scaling="fixed", crop_foreground=False)
    hu = a_body()
    curved = np.interp(hu, *zip(*knots, strict=True)).astype(np.float32)
    from monai.transforms import Resize

    expected = Resize(spec.size, mode="trilinear")(torch.from_numpy(curved)[None]).numpy()
    for dtype in (np.int16, np.float32):
        pixels = prepare(Volume(hu.astype(dtype), AXIAL), spec).pixels
        np.testing.assert_allclose(pixels, expected, atol=1e-5)


def test_a_volume_of_one_value_becomes_zeros():
    pixels = prepare(
        Volume(np.full((4, 5, 6), 30, np.int16), AXIAL), PreprocessSpec((4, 4, 4))
    ).pixels
    assert not pixels.any()


@pytest.mark.parametrize("interpolation", ["trilinear", "nearest"])
def test_the_affine_still_finds_a_landmark_after_crop_and_resize(interpolation):
    hu = np.full((21, 41, 31), -1000, np.int16)
    hu[3:18, 5:35, 4:29] = 0
    hu[9:12, 19:22, 14:17] = 1000
    spec = PreprocessSpec((60, 120, 100), window=(500, 1000), interpolation=interpolation)
    model_input = prepare(Volume(hu, AXIAL), spec)
    brightest = np.argwhere(model_input.pixels[0] > 0.99).mean(axis=0)
    at = model_input.affine_lps @ [*brightest, 1]
    np.testing.assert_allclose(at, AXIAL @ [10, 20, 15, 1], atol=0.3)


def test_a_flipped_volume_gives_the_same_input():
    hu = a_body()
    flipped = AXIAL.copy()
    flipped[:, 3] += flipped[:, 0] * (len(hu) - 1)
    flipped[:, 0] *= -1
    spec = PreprocessSpec((12, 20, 20))
    straight = prepare(Volume(hu, AXIAL), spec)
    turned = prepare(Volume(hu[::-1], flipped), spec)
    np.testing.assert_array_equal(straight.pixels, turned.pixels)
    np.testing.assert_allclose(straight.affine_lps, turned.affine_lps)


def test_the_spec_survives_json():
    spec = PreprocessSpec((1, 2, 3), (40.0, 400.0), ((-9.0, 0.0), (9.0, 1.0)), "fixed", False)
    assert PreprocessSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": [1, 2]},
        {"size": [0, 2, 3]},
        {"scaling": "zscore"},
        {"interpolation": "cubic"},
        {"orientation": "upside-down"},
        {"window": [40, 0]},
        {"companding": [[0, 0], [0, 1]]},
        {"companding": [[0, 0], [5, 0.5]]},
        {"sise": [1, 2, 3]},
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(
        ValueError, match=r"size|scaling|interpolation|orientation|window|companding|unknown"
    ):
        PreprocessSpec.from_dict(wrong)
