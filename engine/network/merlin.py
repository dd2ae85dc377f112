"""Merlin (Stanford, abdominal CT): the model that writes a report, organ by organ.

An inflated ResNet-152, one linear map to 490 image tokens, and Llama-2 7B. The image tokens come
first, and no token begins the text: the authors' code drops it.
"""

from __future__ import annotations

from math import prod

import torch
from pydantic import InstanceOf
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from transformers.cache_utils import Cache
from transformers.models.llama import LlamaConfig, LlamaModel

from engine.network.language_model import logits, without_memory
from engine.network.resnet3d import ResNet3D, ResNet3DConfig

ORGANS = (
    "lower thorax",
    "liver",
    "gallbladder",
    "spleen",
    "pancreas",
    "adrenal glands",
    "kidneys",
    "bowel",
    "peritoneum",
    "pelvic",
    "circulatory",
    "lymph nodes",
    "musculoskeletal",
)
"""What it was trained to describe, in the authors' order."""


@dataclass(frozen=True, config={"extra": "forbid"})
class MerlinConfig:
    """The two parts with sizes; the projector is one linear map between them."""

    vision: ResNet3DConfig
    llm: InstanceOf[LlamaConfig]

    @property
    def image_tokens(self) -> int:
        return prod(self.vision.grid)


class Merlin(nn.Module):
    """Volume and prompt to text; a `VisionLanguageModel`."""

    def __init__(self, config: MerlinConfig):
        super().__init__()
        self.config = config
        self.model = LlamaModel(config.llm)
        self.model.vision_tower = ResNet3D(config.vision)
        self.model.mm_projector = nn.Linear(config.vision.width, config.llm.hidden_size)
        self.lm_head = nn.Linear(config.llm.hidden_size, config.llm.vocab_size, bias=False)

    @property
    def llm_config(self) -> LlamaConfig:
        return self.config.llm

    @property
    def llm_layers(self) -> nn.ModuleList:
        layers: nn.ModuleList = self.model.layers
        return layers

    @property
    def image_token_count(self) -> int:
        return self.config.image_tokens

    def encode_image(self, volume: Tensor) -> list[Tensor]:
        """(B, 1, D, H, W) -> the last feature map (B, tokens, channels)."""
        hidden_states: list[Tensor] = self.model.get_submodule("vision_tower")(volume)
        return hidden_states

    def image_tokens(self, hidden_states: list[Tensor]) -> Tensor:
        """Features -> image tokens (B, n, hidden size)."""
        projector = self.model.get_submodule("mm_projector")
        image_tokens: Tensor = projector(hidden_states[-1].to(next(projector.parameters()).dtype))
        return image_tokens

    def embed_tokens(self, input_ids: Tensor) -> Tensor:
        """(B, n) -> (B, n, hidden size)."""
        embeddings: Tensor = self.model.embed_tokens(input_ids)
        return embeddings

    def embed_prompt(self, input_ids: Tensor, image_tokens: Tensor) -> Tensor:
        """Put image tokens in the place of the placeholders and of what begins a text before them.

        (B, n) and (B, m, hidden size), m < n -> (B, n or n - 1, hidden size).
        """
        begun = int(input_ids[0, 0] == self.config.llm.bos_token_id)
        rest = self.embed_tokens(input_ids[:, begun + image_tokens.shape[1] :])
        return torch.cat([image_tokens, rest], dim=1)

    def forward(
        self,
        inputs_embeds: Tensor,
        *,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        logits_to_keep: int = 0,
    ) -> Tensor:
        """Return logits of embeddings (B, n, hidden size); see `VisionLanguageModel`."""
        return logits(
            self.model,
            self.lm_head,
            inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            logits_to_keep=logits_to_keep,
        )


def without_weights(config: MerlinConfig) -> Merlin:
    """Build the network with parameters that hold no memory, for `checkpoints.weights.assemble`."""
    return without_memory(lambda: Merlin(config), config.llm)
