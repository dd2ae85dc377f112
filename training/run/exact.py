"""Whether N ranks learn to the last rounding what one learns, or as torch has it.

`run.exact_ranks` chooses: batch norm and dropout of our own that do not depend on how a batch is
shared, or torch's, which are faster (`bench/exact_ranks.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from training.run.batch_norm import share_batch_norm
from training.run.dropout import drop_by_items


class Draw(Protocol):
    """What the dropout masks of a pass are drawn from."""

    def begin(self, seed: int, step: int, items: Tensor) -> None:
        """Start a pass over `items`, shape (B), on the CPU.

        Parameters
        ----------
        seed, step : int
        items : Tensor, shape (B)
            In the order of the batch's rows, on the CPU.
        """


@dataclass(frozen=True)
class TorchDraw:
    """torch's generators, seeded for each pass: a run that goes on needs no state of theirs."""

    def begin(self, seed: int, step: int, items: Tensor) -> None:
        """Seed them by seed, step and the items of the pass, which no other rank has.

        Parameters
        ----------
        seed, step : int
        items : Tensor, shape (B)
            In the order of the batch's rows, on the CPU.
        """
        entropy = (seed, step, *items.tolist())
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))


def prepare_for_ranks(
    network: nn.Module, *, exact: bool, ranks: int, device: torch.device
) -> tuple[nn.Module, Draw]:
    """Give a network the batch norm and dropout that go with its ranks.

    Parameters
    ----------
    network : nn.Module
        Names and state stay.
    exact : bool
        `run.exact_ranks` of the recipe.
    ranks : int
        On whatever nodes.
    device : torch.device
        Where it runs.

    Returns
    -------
    network : nn.Module
    draw : Draw
        To begin each pass with.
    """
    if exact:
        share_batch_norm(network)
        return network, drop_by_items(network, device)
    if ranks > 1:
        if device.type == "cuda":
            convert: Callable[[nn.Module], nn.Module] = nn.SyncBatchNorm.convert_sync_batchnorm
            network = convert(network)
        else:  # torch's SyncBatchNorm refuses the CPU
            share_batch_norm(network)
    return network, TorchDraw()
