"""Adapters (LoRA: Hu 2021) that are merged into the layers that they adapt."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from dicom_io.errors import CheckpointMismatch

LORA_A, LORA_B = ".lora_A.", ".lora_B."


def merge_lora(tensors: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    """Merge the adapters among a state's tensors into the layers that they adapt."""
    merged = {name: t for name, t in tensors.items() if LORA_A not in name and LORA_B not in name}
    for name in tensors.keys() - merged.keys():
        layer, half, _ = name.rpartition(LORA_A if LORA_A in name else LORA_B)
        other = name.replace(half, LORA_B if half == LORA_A else LORA_A)
        weight = f"{layer}.weight"
        if absent := [needed for needed in (other, weight) if needed not in tensors]:
            raise CheckpointMismatch(f"{name} has no {', '.join(absent)}", tuple(absent))
        if half == LORA_A:
            merged[weight] = merged_weight(tensors[weight], tensors[name], tensors[other], scale)
    return merged


def merged_weight(weight: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
    """Add an adapter to the weight of its layer (LoRA: Hu 2021, equation 3).

    The sum is made in float32 and rounded once, to the weight's type. PEFT does so too where the
    adapter is in float32; one in bfloat16 it rounds twice, the product first.

    Parameters
    ----------
    weight : Tensor, shape (outputs, inputs)
    a : Tensor, shape (rank, inputs)
    b : Tensor, shape (outputs, rank)
    scale : float
        Alpha over rank; see `lora_scale`.
    """
    return (weight.float() + scale * (b.float() @ a.float())).to(weight.dtype)
