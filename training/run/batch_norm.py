"""Batch norm over the batch of all ranks, on any device.

torch's SyncBatchNorm refuses the CPU, where the equality of one rank and several is tested.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from training.run.ranks import total, world


@contextmanager
def statistics_kept(network: nn.Module) -> Iterator[None]:
    """Leave running statistics alone: gradient checkpointing passes a second time here."""
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


class SharedBatchNorm(nn.BatchNorm3d):
    """`nn.BatchNorm3d` whose batch is that of all ranks."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, …) -> the same."""
        if not self.training:
            return super().forward(input)
        mean, variance, count = batch_statistics(input)
        if self.track_running_stats:
            self._remember(mean, variance, count)
        normalised: Tensor = _Normalise.apply(  # type: ignore[no-untyped-call]
            input, mean, variance, count, self.weight, self.bias, self.eps
        )
        return normalised

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        cast(Tensor, self.num_batches_tracked).add_(1)
        unbiased = variance * (count / (count - 1))
        cast(Tensor, self.running_mean).lerp_(mean, cast(float, self.momentum))
        cast(Tensor, self.running_var).lerp_(unbiased, cast(float, self.momentum))


def share_batch_norm(network: nn.Module) -> None:
    """Let every batch norm of a network see the batch of all ranks; names and state stay."""
    for module in network.modules():
        if type(module) is nn.BatchNorm3d:
            module.__class__ = SharedBatchNorm


@torch.no_grad()
def batch_statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(B, C, …) -> mean (C), biased variance (C) and count () over the ranks, in float32.

    Variances of the ranks are joined with those of their means, so that nothing cancels.
    """
    dims = [0, *range(2, x.ndim)]
    variance, mean = torch.var_mean(x.float(), dims, correction=0)
    n = world()  # every rank has as many values
    common = total(mean) / n
    joined = total(variance + (mean - common) ** 2) / n
    return common, joined, torch.tensor(float(x.numel() // x.shape[1] * n), device=x.device)


class _Normalise(Function):
    """(x - mean) / sqrt(variance + eps) · weight + bias, where the statistics depend on x."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        mean: Tensor,
        variance: Tensor,
        count: Tensor,
        weight: Tensor,
        bias: Tensor,
        eps: float,
    ) -> Tensor:
        ctx.save_for_backward(x, mean, (variance + eps).rsqrt(), count, weight)
        return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, mean, inverse, count, weight = ctx.saved_tensors
        (gradient,) = gradients
        dims = [0, *range(2, x.ndim)]
        channel = (1, -1, *(1,) * (x.ndim - 2))
        normal = (x - mean.view(channel)) * inverse.view(channel)
        d_bias = gradient.sum(dims, dtype=torch.float32)
        d_weight = (gradient * normal).sum(dims, dtype=torch.float32)
        # the parts of the gradient that go through mean and variance, which every rank shares
        through_mean, through_variance = total(torch.stack([d_bias, d_weight])) / count
        d_x = gradient - through_mean.view(channel) - normal * through_variance.view(channel)
        d_x = d_x * (inverse * weight).view(channel)
        return d_x.to(x.dtype), None, None, None, d_weight, d_bias, None
