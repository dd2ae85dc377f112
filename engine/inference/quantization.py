"""Language-model weights in 8 or 4 bit, by bitsandbytes.

int8 has one scale a row (Dettmers 2022, LLM.int8()); nf4 is normal-float with one scale for 64
weights (Dettmers 2023, QLoRA).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import torch
from torch import Tensor, nn

from dicom_io.errors import EngineError
from engine.checkpoints.checkpoint import Checkpoint
from engine.network.vision_language_model import VisionLanguageModel
from engine.protocol import Quantization

QUANTIZATIONS: tuple[Quantization, ...] = get_args(Quantization)


def quantize(model: VisionLanguageModel, kind: Quantization, device: torch.device) -> None:
    """Replace the linear maps of a language model's layers, one at a time, and move them.

    Everything else keeps its type: embeddings and output map because they lose most, vision tower
    and projector because they are small. The model may stand on the CPU, so that the device never
    holds the full weights.

    Parameters
    ----------
    model : VisionLanguageModel
    kind : {"none", "int8", "nf4"}
    device : torch.device
        Where the maps go.

    Raises
    ------
    EngineError
        There is no such kind, or bitsandbytes is not installed.
    """
    if kind not in QUANTIZATIONS:
        raise EngineError(f"quantization must be one of {', '.join(QUANTIZATIONS)}, got {kind!r}")
    if kind == "none":
        return
    for name, module in list(model.llm_layers.named_modules()):
        if isinstance(module, nn.Linear):
            parent, _, child = name.rpartition(".")
            setattr(
                model.llm_layers.get_submodule(parent), child, _quantized(module, kind).to(device)
            )


def full_weight(linear: Any) -> Tensor:
    """Return the weight that a linear map stands for, quantized or not: (out, in)."""
    weight = linear.weight
    kind = type(weight).__name__
    full: Tensor = weight.detach()
    if kind == "Params4bit":
        from bitsandbytes.functional import dequantize_4bit

        full = dequantize_4bit(weight.data, weight.quant_state)
    elif kind == "Int8Params":
        from bitsandbytes.functional import int8_vectorwise_dequant

        # the scales of the rows move into the state when the map first runs
        scales = linear.state.SCB if weight.SCB is None else weight.SCB
        full = int8_vectorwise_dequant(weight.data, scales)
    return full


def _quantized(linear: nn.Linear, kind: Quantization) -> nn.Module:
    """Return a linear map whose weights become small when it is moved to a device."""
    from bitsandbytes.nn import modules as bnb

    weight = linear.weight.detach()
    quantized: nn.Module
    if kind == "nf4":
        quantized = bnb.LinearNF4(  # type: ignore[no-untyped-call]
            *_sizes(linear), compute_dtype=weight.dtype, device="meta"
        )
        quantized.weight = bnb.Params4bit(weight, requires_grad=False, quant_type="nf4")
    else:
        quantized = bnb.Linear8bitLt(*_sizes(linear), has_fp16_weights=False, device="meta")
        quantized.weight = bnb.Int8Params(weight, requires_grad=False, has_fp16_weights=False)
    quantized.bias = linear.bias
    return quantized


def _sizes(linear: nn.Linear) -> tuple[int, int, bool]:
    return linear.in_features, linear.out_features, linear.bias is not None


def named(checkpoint: Checkpoint, quantization: Quantization) -> Checkpoint:
    """Let every draft say that its model ran with quantized weights: they write other words.

    What the full weights' confidence was worth says nothing of theirs.
    """
    if quantization == "none":
        return checkpoint
    version = f"{checkpoint.card.version} ({quantization})"
    card = replace(checkpoint.card, version=version)
    return replace(checkpoint, card=card, calibration=None)
