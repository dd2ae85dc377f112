from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.sampler import Batches


@given(
    images=st.integers(8, 60),
    share=st.integers(1, 4),
    world=st.sampled_from([1, 2]),
    seed=st.integers(0, 9),
    cut=st.integers(0, 25),
)
def test_a_run_goes_on_in_mid_epoch_as_if_it_had_not_stopped(images, share, world, seed, cut):
    for rank in range(world):
        whole = Batches(images, share * world, 0, 25, seed, rank, world)
        before = Batches(images, share * world, 0, cut, seed, rank, world)
        after = Batches(images, share * world, cut, 25, seed, rank, world)
        assert [*before, *after] == list(whole)


@given(images=st.integers(24, 80), seed=st.integers(0, 9), world=st.sampled_from([2, 3, 4]))
def test_the_ranks_together_see_the_global_batch_of_one_rank(images, seed, world):
    alone = Batches(images, 12, 0, 9, seed)
    ranks = [Batches(images, 12, 0, 9, seed, rank, world) for rank in range(world)]
    for step, batch in enumerate(alone):
        assert list(chain.from_iterable(rank.at(step) for rank in ranks)) == batch


@given(images=st.integers(4, 50), batch=st.integers(1, 4), seed=st.integers(0, 9))
def test_an_epoch_shows_no_image_twice(images, batch, seed):
    steps = images // batch
    shown = list(chain.from_iterable(Batches(images, batch, 0, steps, seed)))
    assert len(shown) == len(set(shown)) == steps * batch


def test_epochs_and_seeds_differ_in_order():
    first, second = (Batches(20, 20, step, step + 1, 0) for step in (0, 1))
    assert sorted(next(iter(first))) == sorted(next(iter(second)))
    assert next(iter(first)) != next(iter(second))
    assert next(iter(first)) != Batches(20, 20, 0, 1, 1).at(0)


@pytest.mark.parametrize(
    ("batch", "world", "why"), [(5, 2, "cannot be shared by 2 ranks"), (9, 1, "more than the 8")]
)
def test_a_batch_that_cannot_be_is_refused(batch, world, why):
    with pytest.raises(ValueError, match=why):
        Batches(8, batch, 0, 1, 0, 0, world)
