"""From items to micro-batches: each drawn by seed, step and item alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from training.data.sampler import Batches
from training.run.plan import Plan
from training.run.task import Batch, TrainingData

Drawn = tuple[int, int]
"""A step, and an item that takes part in it."""


@dataclass(frozen=True)
class Pass(Generic[Batch]):
    """One micro-batch: which step, which items, and what was made of them."""

    step: int
    items: Tensor
    batch: Batch


@dataclass(frozen=True)
class Examples:
    """The items of a stage, as torch's DataLoader wants a data set."""

    data: TrainingData[Any]
    seed: int

    def __getitem__(self, drawn: Drawn) -> tuple[Drawn, Any]:
        step, item = drawn
        return drawn, self.data.example(item, np.random.default_rng((self.seed, step, item)))

    def collate(self, drawn: list[tuple[Drawn, Any]]) -> Pass[Any]:
        """Join what was read."""
        (step, _), _ = drawn[0]
        items = torch.tensor([item for (_, item), _ in drawn])
        return Pass(step, items, self.data.collate([example for _, example in drawn]))


@dataclass(frozen=True)
class Passes:
    """The micro-batches of one rank from a step on; a `batch_sampler`."""

    plan: Plan
    seed: int
    rank: int
    first: int

    def __iter__(self) -> Iterator[list[Drawn]]:
        plan, size = self.plan, self.plan.stage.micro_batch
        batches = Batches(
            plan.items,
            plan.stage.global_batch,
            self.first,
            plan.steps,
            self.seed,
            self.rank,
            plan.world,
        )
        for step in range(self.first, plan.steps):
            share = batches.at(step)
            for start in range(0, len(share), size):
                yield [(step, item) for item in share[start : start + size]]

    def __len__(self) -> int:
        return (self.plan.steps - self.first) * self.plan.passes


def load_steps(
    data: TrainingData[Batch], plan: Plan, seed: int, rank: int, first: int, workers: int
) -> Iterator[list[Pass[Batch]]]:
    """Yield the micro-batches of each step, from step `first` on; `workers` read ahead.

    Parameters
    ----------
    data : TrainingData
    plan : Plan
    seed : int
    rank : int
        This process.
    first : int
        Steps that were made before.
    workers : int
        Processes that read ahead; 0 reads in this one.
    """
    examples = Examples(data, seed)
    loader: DataLoader[Any] = DataLoader(
        examples,  # type: ignore[arg-type]  # a data set is whatever has items
        batch_sampler=Passes(plan, seed, rank, first),
        collate_fn=examples.collate,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # so that its workers' seeds are not drawn from torch's own
    )
    passes = iter(loader)
    for _ in range(first, plan.steps):
        yield [next(passes) for _ in range(plan.passes)]
