"""A model on the CPU: its vision tower in the form and the type that are fast there."""

from __future__ import annotations

import logging
from dataclasses import replace

import torch

from engine.checkpoints.checkpoint import Checkpoint
from engine.inference.device import has_bfloat16_units
from engine.network.towers.inference_form import has_inference_form, use_inference_form

LOGGER = logging.getLogger(__name__)


def on_cpu(checkpoint: Checkpoint, dtype: torch.dtype) -> Checkpoint:
    """Give the vision tower its inference form, in bfloat16 where that was asked for and pays.

    Parameters
    ----------
    checkpoint : Checkpoint
        Its model is changed.
    dtype : torch.dtype
        What was asked for.

    Returns
    -------
    Checkpoint
        Where the tower runs in bfloat16 it has the limits for it, and a version that says so: the
        texts may be others.
    """
    rounded = dtype is torch.bfloat16 and has_inference_form(checkpoint.model)
    if rounded and not has_bfloat16_units():
        LOGGER.warning("this processor has no AVX512-BF16 or AMX: the encoder stays in float32")
        rounded = False
    distribution = checkpoint.distribution
    if rounded and distribution is not None and (distribution := distribution.rounded()) is None:
        LOGGER.warning("the model has no limits for bfloat16: the encoder stays in float32")
        rounded = False
    use_inference_form(checkpoint.model, torch.bfloat16 if rounded else torch.float32)
    if not rounded:
        return checkpoint
    card = replace(checkpoint.card, version=f"{checkpoint.card.version} (bfloat16 encoder)")
    return replace(checkpoint, card=card, distribution=distribution)
