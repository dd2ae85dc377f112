import numpy as np
import pytest
import torch

from dicom_io.errors import UnusableData
from dicom_io.phantom import make_phantom
from dicom_io.preprocess import PreprocessSpec, prepare
from training.data import phantoms
from training.data.phantoms import read_phantoms, write_phantoms
from training.data.store import as_unit_interval, verify

SPEC = PreprocessSpec(size=(8, 16, 16), window=(-200, 300), scaling="fixed")
SEEDS = range(10, 13)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    write_phantoms(folder, SEEDS, SPEC)
    return folder


def test_inputs_come_back_within_half_a_step_of_eight_bits(folder):
    inputs, _ = read_phantoms(folder, SPEC)
    for seed, stored in zip(SEEDS, as_unit_interval(torch.stack(inputs)), strict=True):
        fresh = prepare(make_phantom(seed).volume, SPEC).pixels
        np.testing.assert_allclose(stored.numpy(), fresh, atol=0.5 / 255 + 1e-6)


def test_truths_lie_beside_their_inputs(folder):
    _, truths = read_phantoms(folder, SPEC)
    assert truths == [make_phantom(seed).truth for seed in SEEDS]


def test_the_store_is_sound(folder):
    assert list(verify(folder)) == []


def test_what_exists_is_not_made_again(folder, monkeypatch):
    def forbidden(seed):
        raise AssertionError(seed)

    monkeypatch.setattr(phantoms, "make_phantom", forbidden)
    write_phantoms(folder, SEEDS, SPEC)


def test_a_store_of_other_phantoms_is_refused(folder):
    with pytest.raises(UnusableData, match="other data"):
        write_phantoms(folder, range(3), SPEC)
