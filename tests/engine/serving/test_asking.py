"""How slices become images: the values are those of Google's notebook for MedGemma 1.5 on CT."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dicom_io.errors import EngineError, GeometryError
from dicom_io.model_input.preprocess import PreprocessSpec, prepare, spread
from dicom_io.types import Volume
from engine.serving.asking import Asking, read_asking

AXIAL = np.diag([0.8, 0.8, -3.0, 1.0])[:, [2, 1, 0, 3]]
MEDGEMMA = read_asking("medgemma-1.5")
HU_TO_RGB = {
    -1500: (0, 0, 0),
    -1024: (0, 0, 0),
    -1020: (0, 0, 0),
    -500: (65, 0, 0),
    -136: (111, 0, 0),
    -135: (111, 0, 0),
    -134: (111, 1, 0),
    0: (128, 98, 0),
    1: (128, 99, 3),
    40: (132, 128, 128),
    79: (137, 156, 252),
    80: (137, 157, 255),
    214: (154, 254, 255),
    215: (154, 255, 255),
    1023: (255, 255, 255),
    2000: (255, 255, 255),
}


def volume(hu: np.ndarray) -> Volume:
    return Volume(hu, AXIAL)


def images(asking: Asking, hu: np.ndarray) -> list[Image.Image]:
    found = asking.images(prepare(volume(hu), asking.preprocess))
    return [Image.open(BytesIO(png)) for png in found]


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_grey_values_are_the_notebooks(dtype):
    hu = np.array([[list(HU_TO_RGB)]], dtype)
    [image] = images(MEDGEMMA, hu)
    assert [tuple(rgb) for rgb in np.asarray(image)[0]] == list(HU_TO_RGB.values())


def test_sums_over_noise_are_the_notebooks():
    hu = np.random.default_rng(81).integers(-1500, 2500, (3, 70, 96)).astype(np.int16)
    rgb = np.stack([np.asarray(image) for image in images(MEDGEMMA, hu)])
    assert rgb.sum(axis=(0, 1, 2)).tolist() == [3192174, 3136961, 3130766]


@pytest.mark.parametrize(
    ("count", "first", "last"),
    [(1, [0], [0]), (85, [0, 1, 2], [84]), (86, [1, 2, 3], [85]), (171, [2, 4, 6], [170]),
     (120, [1, 3, 4, 6, 7, 8, 10], [119]), (512, [6, 12, 18], [511])],
)  # fmt: skip
def test_slices_are_chosen_as_the_notebook_chooses_them(count, first, last):
    chosen = spread(count, 85)
    assert len(chosen) == min(count, 85)
    assert (chosen[: len(first)], chosen[-1:]) == (first, last)


def test_slices_keep_their_own_pixels_and_their_place():
    hu = np.arange(7 * 4 * 5, dtype=np.int16).reshape(7, 4, 5)
    spec = PreprocessSpec(
        (3, 9, 9), window=(70, 140), scaling="fixed", crop_foreground=False, interpolation="none"
    )
    model_input = prepare(volume(hu), spec)
    np.testing.assert_allclose(model_input.pixels[0] * 140, hu[[2, 4, 6]], atol=1e-4)
    assert model_input.steps[-1] == "3 slices chosen, none resized"


def test_a_slice_that_is_too_large_is_refused():
    spec = PreprocessSpec((3, 9, 9), interpolation="none")
    with pytest.raises(GeometryError, match="slices of"):
        prepare(volume(np.zeros((2, 10, 5), np.int16)), spec)


def test_one_window_makes_grey_images_of_the_wanted_size():
    asking = Asking(model="m", slices=2, windows=((40, 400),), report="?", size=16)
    found = images(asking, np.zeros((3, 20, 30), np.int16))
    assert [(one.mode, one.size) for one in found] == [("L", (16, 16))] * 2


def test_an_image_holds_pixels_only():
    [image] = images(MEDGEMMA, np.zeros((1, 8, 8), np.int16))
    image.load()
    assert image.info == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('model = "m"\nslices = 3\nwindows = [[40, 400]]', "report"),
        ('model = "m"\nslices = 0\nwindows = [[40, 400]]\nreport = "?"', "slices"),
        ('model = "m"\nslices = 3\nwindows = [[40, 0]]\nreport = "?"', "windows"),
        ('model = "m"\nslices = 3\nwindows = [[4, 4], [4, 4]]\nreport = "?"', "one, or three"),
        ('model = "m"\nslices = 3\nwindows = [[40, 400]]\nreport = "?"\nodd = 1', "odd"),
        ("model = ", "own.toml"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(text: str, says: str, tmp_path: Path):
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(EngineError, match=says):
        read_asking(tmp_path / "own.toml")


def test_presets_are_named_where_there_is_no_file():
    with pytest.raises(EngineError, match=r"no preset: medgemma-1\.5"):
        read_asking("medgemma")
