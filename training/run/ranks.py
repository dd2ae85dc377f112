"""What passes between the processes of a run; with one process alone, nothing does.

The loss is a sum over ranks of what each computes. So whatever one rank takes from another has a
gradient that comes back from there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed
from torch.autograd import Function


def rank() -> int:
    """Return the number of this process among all."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world() -> int:
    """Return how many processes there are, on whatever nodes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def total(values: Tensor) -> Tensor:
    """Sum over ranks, without gradient."""
    values = values.detach().clone()
    if world() > 1:
        distributed.all_reduce(values)
    return values


def passed_on(tensors: list[Tensor]) -> list[Tensor]:
    """Give tensors to the next rank of the ring, and return those of the previous one."""
    n, here = world(), rank()
    if n == 1:
        return tensors
    received = [torch.empty_like(tensor) for tensor in tensors]
    operations = [
        distributed.P2POp(operation, tensor, peer)
        for operation, sent, peer in (
            (distributed.isend, tensors, (here + 1) % n),
            (distributed.irecv, received, (here - 1) % n),
        )
        for tensor in sent
    ]
    for request in distributed.batch_isend_irecv(operations):
        request.wait()
    return received


class _Gathered(Function):
    """Rows of every rank, in the order of the ranks."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.rows = slice(rank() * len(rows), (rank() + 1) * len(rows))
        everything = rows.new_zeros(world() * len(rows), *rows.shape[1:])
        everything[ctx.rows] = rows
        return total(everything)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return total(gradients[0])[ctx.rows]


def gathered(rows: Tensor) -> Tensor:
    """Return the rows of every rank, (n, …) -> (world · n, …); their gradients go home."""
    everything: Tensor = _Gathered.apply(rows)  # type: ignore[no-untyped-call]
    return everything
