"""Gradient checkpointing: activations are computed again in the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from training.run.batch_norm import statistics_kept


def recompute(modules: Iterable[nn.Module]) -> None:
    """Keep only the inputs of each of these modules for the backward pass."""
    for module in modules:
        module.forward = partial(_checkpointed, module, module.forward)


def _checkpointed(module: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(
        forward,
        *args,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), statistics_kept(module)),
        **kwargs,
    )
