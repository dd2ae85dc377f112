"""LoRA on every linear map of the language model (paper, equation 9), by PEFT.

Under it lie the full weights, or weights in 8 or 4 bit (Dettmers 2023, QLoRA).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from engine.checkpoints.adapters import merged_weight
from engine.inference.quantization import full_weight, quantize
from engine.network.families.med3dvlm import Med3DVLM
from engine.protocol import Quantization

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Every linear map of the language model (paper, section 3.4.3)."""

ADAPTER = "default"


def add_adapters(
    model: Med3DVLM,
    *,
    rank: int,
    alpha: int,
    dropout: float,
    seed: int,
    quantization: Quantization = "none",
    device: torch.device | str = "cpu",
) -> None:
    """Put LoRA around the linear maps of a model's layers, which are quantized first.

    Parameters
    ----------
    model : Med3DVLM
        Changed in place.
    rank, alpha, dropout
        Paper, section 3.4.3: 16, 32 and 0.05.
    seed : int
        Of A; B begins with zeros, so that the model begins as it was.
    quantization : str
        Of the weights below.
    device : torch.device or str
        Where quantized weights go, one map at a time.
    """
    quantize(model, quantization, torch.device(device))
    llm: Any = model.model
    llm.is_loaded_in_8bit = quantization == "int8"  # what PEFT chooses its layers by
    llm.is_loaded_in_4bit = quantization == "nf4"
    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=list(TARGETS)
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, llm)
    for _, adapted in adapted_layers(model):
        # autocast brings x to the type of the arithmetic; PEFT would make float32 of it first
        adapted.cast_input_dtype_enabled = False
        adapted.lora_A.float()
        adapted.lora_B.float()
        # bitsandbytes packs 4-bit weights for fast inference on a CPU, which has no gradient
        adapted.get_base_layer().support_avx512bf16_for_cpu = False


@torch.no_grad()
def merge_adapters(model: nn.Module) -> None:
    """Add every LoRA to the weights that it adapts, in their type, and take it away.

    Quantized weights become full ones first: they are what the adapters were trained on.
    """
    for name, adapted in list(adapted_layers(model)):
        parent = model.get_submodule(name.rpartition(".")[0])
        setattr(parent, name.rpartition(".")[2], _merged(adapted))
    for module in model.modules():
        module.__dict__.pop("peft_config", None)


def adapted_layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the layers with LoRA by name, in the order of the model."""
    for name, module in model.named_modules():
        if isinstance(module, BaseTunerLayer):
            yield name, module


def _merged(adapted: Any) -> nn.Linear:
    base = adapted.get_base_layer()
    weight: Tensor = full_weight(base)
    a, b = adapted.lora_A[ADAPTER].weight, adapted.lora_B[ADAPTER].weight
    outputs, inputs = weight.shape
    linear = nn.Linear(inputs, outputs, bias=base.bias is not None, device="meta")
    linear.weight = nn.Parameter(merged_weight(weight, a, b, adapted.scaling[ADAPTER]))
    linear.bias = base.bias
    return linear
