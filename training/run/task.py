"""What a stage hands to the machinery that runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from torch import Tensor, nn

Batch = TypeVar("Batch")
Made_co = TypeVar("Made_co", covariant=True)


class TrainingData(Protocol[Made_co]):
    """The items of a stage; it travels to the processes that read ahead."""

    def __len__(self) -> int: ...

    def example(self, item: int, rng: np.random.Generator) -> Any:
        """Read one item; seed, step and item decide what `rng` draws."""

    def collate(self, examples: list[Any]) -> Made_co:
        """Join examples to a batch: tensors and plain values in mappings or tuples."""


@dataclass(frozen=True)
class Task(Generic[Batch]):
    """One stage, ready to be run.

    Parameters
    ----------
    name : str
        Of the stage; its states lie in `RUN/states/{name}`.
    module : nn.Module
        Its parameters with `requires_grad` are trained. What is frozen has to stay in eval mode
        when `train()` is called.
    data : TrainingData
        Where its batches come from.
    weight : callable
        Batch -> what its loss counts, such as images or supervised tokens.
    loss : callable
        Module and batch -> the sum of what the batch contributes, which is divided by the weight
        of the global batch. It calls the module that it is given once, and nothing inside it:
        ZeRO-3 brings the weights there at that moment.
    validate : callable, optional
        Module in eval mode -> figures. Every rank calls it.
    passes_are_apart : bool
        Whether the loss of several passes is another than that of one pass over the same items.
    """

    name: str
    module: nn.Module
    data: TrainingData[Batch]
    weight: Callable[[Batch], float]
    loss: Callable[[nn.Module, Batch], Tensor]
    validate: Callable[[nn.Module], Mapping[str, float]] | None = None
    passes_are_apart: bool = False
