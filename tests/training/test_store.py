import numpy as np
import pytest

from dicom_io.phantom import make_phantom
from dicom_io.preprocess import PreprocessSpec, prepare
from training import store
from training.store import as_unit_interval, read_store, write_store

SPEC = PreprocessSpec(size=(8, 16, 16), window=(-200, 300), scaling="fixed")
SEEDS = range(10, 13)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    write_store(folder, SEEDS, SPEC, processes=1)
    return folder


def test_inputs_come_back_within_half_a_step_of_eight_bits(folder):
    inputs, _ = read_store(folder, SEEDS)
    for seed, stored in zip(SEEDS, as_unit_interval(inputs), strict=True):
        fresh = prepare(make_phantom(seed).volume, SPEC).pixels
        np.testing.assert_allclose(stored, fresh, atol=0.5 / 255 + 1e-6)


def test_truths_lie_beside_their_inputs(folder):
    _, truths = read_store(folder, SEEDS)
    assert truths == [make_phantom(seed).truth for seed in SEEDS]


def test_a_chunk_that_exists_is_not_made_again(folder, monkeypatch):
    def forbidden(seed):
        raise AssertionError(seed)

    monkeypatch.setattr(store, "make_phantom", forbidden)
    store._write_chunk(folder, SPEC, SEEDS)


def test_no_unfinished_file_stays(folder):
    assert sorted(p.name for p in folder.iterdir()) == ["10.json", "10.npy"]
