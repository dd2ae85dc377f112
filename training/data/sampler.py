"""Which images make up which batch: a pure function of seed and step, for any number of ranks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Batches:
    """The batches of one rank; a `batch_sampler` for torch's DataLoader.

    An epoch is a permutation that seed and epoch decide; a global batch is the next `batch` of it,
    and each rank takes its slice. The last, incomplete batch of an epoch is left out. Since nothing
    is remembered, a run goes on in mid-epoch by its step alone, and the global batches stay what
    they are when the number of ranks changes.

    Parameters
    ----------
    images : int
        How many there are.
    batch : int
        Global batch size; a multiple of `world`.
    first, last : int
        Steps to make, half open.
    seed : int
        Decides the order.
    rank, world : int
        This process among all, on whatever nodes.
    """

    images: int
    batch: int
    first: int
    last: int
    seed: int
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if self.batch % self.world:
            raise ValueError(f"a batch of {self.batch} cannot be shared by {self.world} ranks")
        if self.batch > self.images:
            raise ValueError(f"a batch of {self.batch} is more than the {self.images} images")

    @property
    def steps_per_epoch(self) -> int:
        return self.images // self.batch

    def __len__(self) -> int:
        return max(0, self.last - self.first)

    def __iter__(self) -> Iterator[list[int]]:
        return (self.at(step) for step in range(self.first, self.last))

    def at(self, step: int) -> list[int]:
        """The images of this rank at a step, counted over all epochs."""
        epoch, within = divmod(step, self.steps_per_epoch)
        share = self.batch // self.world
        start = within * self.batch + self.rank * share
        chosen: list[int] = _order(self.images, self.seed, epoch)[start : start + share].tolist()
        return chosen


@lru_cache(maxsize=4)
def _order(images: int, seed: int, epoch: int) -> NDArray[np.intp]:
    return np.random.default_rng((seed, epoch)).permutation(images)
