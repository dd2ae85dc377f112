import pickle

import pytest
import torch

from engine.network.towers.vision import vision_tower
from tests.training import tiny
from training.data.store import as_unit_interval
from training.learner.features import SHARD, Features


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tiny.write_store(tmp_path_factory.mktemp("store") / "s")


@pytest.fixture
def tower():
    torch.manual_seed(0)
    return vision_tower(tiny.VISION).eval()


@pytest.fixture
def see(tower):
    return torch.no_grad()(lambda stored: tower(as_unit_interval(stored))[-2:])


def test_they_are_what_the_tower_sees(store, tower, see, tmp_path):
    features = Features(tmp_path, store, store.images, tower)
    features.compute(see)
    for stream, expected in zip(
        features.read("c3/s"), see(store.stored("c3/s")[None]), strict=True
    ):
        assert torch.equal(stream, expected[0])


def test_they_are_computed_once(store, tower, see, tmp_path):
    Features(tmp_path, store, store.images, tower).compute(see)
    again = Features(tmp_path, store, store.images, tower)
    assert again.complete
    again.compute(lambda stored: pytest.fail("computed again"))


def test_those_of_another_tower_or_other_images_are_not_taken(store, tower, see, tmp_path):
    Features(tmp_path, store, store.images, tower).compute(see)
    assert not Features(tmp_path, store, list(store.images)[1:], tower).complete
    tower.get_parameter(next(n for n, _ in tower.named_parameters())).data.add_(1e-3)
    assert not Features(tmp_path, store, store.images, tower).complete


def test_processes_share_the_files(store, tower, see, tmp_path, monkeypatch):
    monkeypatch.setattr("training.learner.features.SHARD", 3)
    features = Features(tmp_path, store, store.images, tower)
    features.compute(see, rank=1, world=2)
    assert not features.complete
    features.compute(see, rank=0, world=2)
    assert features.complete
    assert len(list(features.folder.iterdir())) == 3


def test_a_reading_process_gets_them_by_pickle(store, tower, see, tmp_path):
    features = Features(tmp_path, store, store.images, tower)
    features.compute(see)
    copy = pickle.loads(pickle.dumps(features))
    assert torch.equal(copy.read("c0/s")[0], features.read("c0/s")[0])


def test_a_file_holds_tens_of_megabytes_at_the_papers_sizes():
    streams = 256 * 384 + 32 * 768
    assert 25e6 < SHARD * streams * 4 < 40e6
