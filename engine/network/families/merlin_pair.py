"""Merlin's contrastive pair: the inflated ResNet-152 and a Clinical-Longformer.

No token attends globally: the authors pass no mask that says so, and the weights for it are dead.
"""

from __future__ import annotations

import re

import torch
from pydantic import InstanceOf
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.longformer import LongformerConfig, LongformerModel

from engine.network.towers.resnet3d import ResNet3D, ResNet3DConfig

PADDING = 1
"""RoBERTa's token; positions are counted past it."""

TEXT_TOKENS = 1024
"""The authors' limit."""

WORDS = re.compile(r"\w+|[^\w\s]+")


@dataclass(frozen=True, config={"extra": "forbid"})
class MerlinPairConfig:
    """The two encoders, and the width of the space that they share."""

    vision: ResNet3DConfig
    text: InstanceOf[LongformerConfig]
    width: int = 512


class MerlinPair(nn.Module):
    """Image and text encoder with a linear head each."""

    def __init__(self, config: MerlinPairConfig):
        super().__init__()
        self.config = config
        self.vision_encoder = ResNet3D(config.vision)
        self.contrastive_head = nn.Conv3d(config.vision.width, config.width, 1)
        self.text_encoder = LongformerModel(config.text, add_pooling_layer=False)
        self.linear_layer = nn.Linear(config.text.hidden_size, config.width)

    @property
    def text_tokens(self) -> int:
        return TEXT_TOKENS

    def as_read(self, text: str) -> str:
        """Words and marks in lower case, a space between all of them."""
        return " ".join(WORDS.findall(text.lower()))

    def encode_image(self, volume: Tensor) -> Tensor:
        """(B, 1, D, H, W) -> (B, width), unit length: the mean of the last feature map."""
        pooled = self.vision_encoder(volume)[-1].mean(dim=1)
        return F.normalize(self.contrastive_head(pooled[..., None, None, None]).flatten(1), dim=-1)

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, n), (B, n) -> (B, width), unit length: token 0."""
        ids = input_ids.masked_fill(attention_mask == 0, PADDING)
        hidden = self.text_encoder(ids, attention_mask).last_hidden_state[:, 0]
        return F.normalize(self.linear_layer(hidden), dim=-1)


def without_weights(config: MerlinPairConfig) -> MerlinPair:
    """Build a pair with parameters that hold no memory, for `checkpoints.weights.assemble`."""
    with torch.device("meta"):
        pair = MerlinPair(config)
    embeddings = pair.text_encoder.embeddings
    for name, buffer in list(embeddings.named_buffers(recurse=False)):
        embeddings.register_buffer(name, torch.zeros_like(buffer, device="cpu"), persistent=False)
    return pair
