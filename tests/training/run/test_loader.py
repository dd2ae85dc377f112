from dataclasses import dataclass

import pytest
import torch

from tests.training.stages.small import SPEC, write_store
from training.data.sampler import Batches
from training.data.store import Store, as_unit_interval, open_store
from training.recipe.stages import Stage
from training.run.loader import load_steps
from training.run.plan import Plan


@dataclass(frozen=True)
class Numbered:
    """Images of a store with their reports, and a number that each draws."""

    store: Store
    keys: list[str]

    def __len__(self):
        return len(self.keys)

    def example(self, item, rng):
        key = self.keys[item]
        return self.store.stored(key), self.store.report(key), rng.random()

    def collate(self, examples):
        images, reports, numbers = zip(*examples, strict=True)
        return torch.stack(images), reports, numbers


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Numbered:
    store = open_store(write_store(tmp_path_factory.mktemp("data") / "store"), SPEC)
    return Numbered(store, store.split("grouped")["train"])


def read(data, *, steps=4, first=0, workers=0, micro_batch=4):
    rates = {"learning_rate": 1, "weight_decay": 0}
    stage = Stage(steps=steps, global_batch=4, micro_batch=micro_batch, **rates)
    return list(load_steps(data, Plan(stage, len(data)), 1, 0, first, workers))


def assert_the_same(some, others):
    for passes, same_passes in zip(some, others, strict=True):
        for one, same in zip(passes, same_passes, strict=True):
            assert torch.equal(one.batch[0], same.batch[0])
            assert one.batch[1:] == same.batch[1:]


def test_images_come_with_their_own_reports(data):
    batches = Batches(len(data), 4, 0, 2, seed=1)
    for step, (one,) in enumerate(read(data, steps=2)):
        images, reports, _ = one.batch
        assert (images.shape, images.dtype) == ((4, 1, *SPEC.size), torch.uint8)
        keys = [data.keys[i] for i in batches.at(step)]
        assert (one.step, one.items.tolist()) == (step, batches.at(step))
        assert list(reports) == [data.store.report(key) for key in keys]
        assert torch.equal(images, torch.stack([data.store.stored(key) for key in keys]))


def test_worker_processes_read_what_one_process_reads(data):
    assert_the_same(read(data), read(data, workers=2))


def test_reading_goes_on_in_mid_epoch(data):
    assert_the_same(read(data, steps=7)[3:], read(data, steps=7, first=3))


def test_passes_of_a_step_have_its_items_in_turn(data):
    together, apart = read(data)[0], read(data, micro_batch=2)[0]
    assert torch.cat([one.items for one in apart]).tolist() == together[0].items.tolist()


def test_reading_draws_nothing_from_torch(data):
    before = torch.get_rng_state()
    read(data, workers=1)
    assert torch.equal(before, torch.get_rng_state())


def test_sixteen_bit_inputs_make_batches_too():
    stored = [torch.full((1, 2, 2, 2), n, dtype=torch.int32).to(torch.uint16) for n in (0, 65535)]
    assert as_unit_interval(torch.stack(stored)).flatten(1).mean(dim=1).tolist() == [0, 1]
