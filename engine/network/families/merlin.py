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
from transformers.models.llama import LlamaConfig, LlamaModel

from engine.network.language_model import WritingNetwork
from engine.network.towers.resnet3d import ResNet3D, ResNet3DConfig

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


class Merlin(WritingNetwork):
    """Volume and prompt to text; its tower's one hidden state is the last feature map."""

    config: MerlinConfig

    @staticmethod
    def parts(config: MerlinConfig) -> tuple[LlamaModel, ResNet3D, nn.Linear]:
        llm, tower = LlamaModel(config.llm), ResNet3D(config.vision)
        return llm, tower, nn.Linear(config.vision.width, config.llm.hidden_size)

    def embed_prompt(self, input_ids: Tensor, image_tokens: Tensor) -> Tensor:
        """Put image tokens in the place of the placeholders and of what begins a text before them.

        (B, n) and (B, m, hidden size), m < n -> (B, n or n - 1, hidden size).
        """
        begun = int(input_ids[0, 0] == self.config.llm.bos_token_id)
        rest = self.embed_tokens(input_ids[:, begun + image_tokens.shape[1] :])
        return torch.cat([image_tokens, rest], dim=1)
