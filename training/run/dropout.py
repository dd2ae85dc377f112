"""Dropout that is a function of seed, step, item and place: the same on any number of ranks.

torch's own draws for a whole batch at once, so its masks change with the share that a rank has.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, eager_mask

ATTENTION = "item_dropout"
"""Name of the attention whose dropout is its module's own; see `attend`."""

_GOLDEN = -1640531527  # 2³² / golden ratio, as int32
_BITS = 1 << 24  # so many low bits decide: enough for any rate, and never negative


class Draw:
    """The keys that the masks of the present pass are drawn from; all layers share one."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = device
        self.keys: Tensor | None = None

    def begin(self, seed: int, step: int, items: Tensor) -> None:
        """Start a pass over `items`, shape (B).

        Parameters
        ----------
        seed, step : int
        items : Tensor, shape (B)
            In the order of the batch's rows.
        """
        start = scramble(torch.tensor([seed, step], dtype=torch.int32))
        of_pass = scramble(start[0] + start[1] * 31).item()
        self.keys = scramble(items.to(self.device, torch.int32) + of_pass)


class ItemDropout(nn.Module):
    """`nn.Dropout` whose mask for a row depends on that row's item alone.

    Parameters
    ----------
    p : float
        Fraction of the values that become 0.
    layer : int
        Tells its masks from those of other layers.
    draw : Draw
        Of the network.
    """

    def __init__(self, p: float, layer: int, draw: Draw) -> None:
        super().__init__()
        self.p, self.layer, self.draw = p, layer, draw

    def forward(self, x: Tensor) -> Tensor:
        """(B, …) -> the same; row i belongs to item i of the pass."""
        if not self.training or not self.p:
            return x
        keys = self.draw.keys
        if keys is None or len(keys) != len(x):
            raise RuntimeError("dropout by items needs `Draw.begin` with the items of this batch")
        bits = scramble(keys + self.layer * _GOLDEN % 2**31)
        for size in x.shape[1:]:
            place = torch.arange(size, dtype=torch.int32, device=x.device) * _GOLDEN
            bits = scramble(bits[..., None] + place)
        kept = bits.bitwise_and_(_BITS - 1) >= round(self.p * _BITS)
        return x * kept / (1 - self.p)


def scramble(bits: Tensor) -> Tensor:
    """Murmur3's finaliser, int32 -> int32: each bit that goes in flips each bit half the time."""
    bits = (bits ^ ((bits >> 16) & 0xFFFF)) * -2048144789
    bits = (bits ^ ((bits >> 13) & 0x7FFFF)) * -1028477387
    return bits ^ ((bits >> 16) & 0xFFFF)


def drop_by_items(network: nn.Module, device: torch.device | str = "cpu") -> Draw:
    """Replace every `nn.Dropout` of a network, which runs on a device."""
    draw = Draw(device)
    for layer, (name, module) in enumerate(list(network.named_modules())):
        if type(module) is nn.Dropout:
            replacement = ItemDropout(module.p, layer, draw).train(module.training)
            parent, _, last = name.rpartition(".")
            network.get_submodule(parent).register_module(last, replacement)
    return draw


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention of transformers that applies `module.dropout` to its weights.

    Their own hand the rate to torch's kernels, which draw for the batch.

    Parameters
    ----------
    module : nn.Module
        With a `dropout` of its own.
    query, key, value : Tensor, shape (B, heads, n, width)
    attention_mask : Tensor, optional
        Added to the scores.
    scaling : float
        Of the scores.
    """
    scores = query @ key.mT * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = module.get_submodule("dropout")(scores.softmax(-1))
    return (weights @ value).transpose(1, 2).contiguous(), None


AttentionInterface.register(ATTENTION, attend)
AttentionMaskInterface.register(ATTENTION, eager_mask)
