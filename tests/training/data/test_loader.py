import pytest
import torch

from dicom_io.model_input.preprocess import PreprocessSpec
from training.data.loader import Pairs, collate, load_pairs
from training.data.prepare import prepare_m3d
from training.data.sampler import Batches
from training.data.store import as_unit_interval, open_store

SPEC = PreprocessSpec(size=(4, 8, 8))


@pytest.fixture(scope="module")
def pairs(phantom_raw, tmp_path_factory) -> Pairs:
    out = tmp_path_factory.mktemp("store")
    prepare_m3d(phantom_raw, out, spec=SPEC)
    store = open_store(out, SPEC)
    return Pairs(store, store.split("grouped")["train"])


def test_images_come_with_their_own_reports(pairs):
    batches = Batches(len(pairs), 4, 0, 2, seed=1)
    for step, (images, reports) in enumerate(load_pairs(pairs, batches)):
        assert images.shape == (4, 1, 4, 8, 8)
        assert images.dtype == torch.uint8
        keys = [pairs.keys[i] for i in batches.at(step)]
        assert reports == [pairs.store.report(key) for key in keys]
        assert torch.equal(images, torch.stack([pairs.store.stored(key) for key in keys]))


def test_worker_processes_read_what_one_process_reads(pairs):
    batches = Batches(len(pairs), 4, 0, 4, seed=1)
    alone, helped = (list(load_pairs(pairs, batches, workers=n)) for n in (0, 2))
    for (images, reports), (same_images, same_reports) in zip(alone, helped, strict=True):
        assert torch.equal(images, same_images)
        assert reports == same_reports


def test_reading_goes_on_in_mid_epoch(pairs):
    whole = list(load_pairs(pairs, Batches(len(pairs), 4, 0, 7, seed=1)))
    rest = list(load_pairs(pairs, Batches(len(pairs), 4, 3, 7, seed=1)))
    for (images, reports), (same_images, same_reports) in zip(whole[3:], rest, strict=True):
        assert torch.equal(images, same_images)
        assert reports == same_reports


def test_sixteen_bit_inputs_make_batches_too():
    stored = [torch.full((1, 2, 2, 2), n, dtype=torch.int32).to(torch.uint16) for n in (0, 65535)]
    images, reports = collate([(stored[0], "a"), (stored[1], "b")])
    assert as_unit_interval(images).flatten(1).mean(dim=1).tolist() == [0, 1]
    assert reports == ["a", "b"]
