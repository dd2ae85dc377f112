import numpy as np
import torch

from training.learner.augmentation import augment

VOLUME = torch.rand(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))


def test_the_rng_decides_all_of_it():
    twice = [augment(VOLUME, np.random.default_rng(3)) for _ in range(2)]
    assert torch.equal(*twice)


def test_the_shape_stays_and_the_input_too():
    before = VOLUME.clone()
    shapes = {augment(VOLUME, np.random.default_rng(seed)).shape for seed in range(20)}
    assert shapes == {VOLUME.shape}
    assert torch.equal(before, VOLUME)


def test_grey_values_change_by_a_tenth_at_most_each_way():
    changed = torch.stack([augment(VOLUME, np.random.default_rng(seed)) for seed in range(200)])
    assert changed.max() <= VOLUME.max() * 1.1 + 0.1
    assert changed.min() >= -0.1
    assert changed.max() > VOLUME.max()


def test_some_volumes_are_turned_and_some_are_not():
    volumes = [augment(VOLUME, np.random.default_rng(seed)) for seed in range(100)]
    brightest = {int(volume.argmax()) for volume in volumes}
    assert len(brightest) > 4
