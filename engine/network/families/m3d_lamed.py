"""M3D-LaMed, the paper's baseline: ViT3D, a perceiver that pools, and Llama-2 or Phi-3.

Module names are those of the published `lamed_llama` and `lamed_phi3` layouts. Their segmentation
module (SegVol) answers another question than a report does, and is not built.
"""

from __future__ import annotations

from math import prod

import torch
from pydantic import InstanceOf
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.llama import LlamaConfig, LlamaModel
from transformers.models.phi3 import Phi3Config, Phi3Model

from engine.network.language_model import WritingNetwork
from engine.network.towers.vit3d import ViT3D, ViT3DConfig


@dataclass(frozen=True, config={"extra": "forbid"})
class M3DLaMedConfig:
    """The three parts.

    Parameters
    ----------
    vision : ViT3DConfig
    llm : LlamaConfig or Phi3Config
    pooling : int
        Side of the cube of patches that becomes one image token.
    """

    vision: ViT3DConfig
    llm: InstanceOf[LlamaConfig] | InstanceOf[Phi3Config]
    pooling: int = 2

    @property
    def image_tokens(self) -> int:
        return prod(n // self.pooling for n in self.vision.grid)


class SpatialPooling(nn.Module):
    """The perceiver: average cubes of patches, then Linear, GELU, Linear.

    Parameters
    ----------
    grid : tuple of int
        Patches along D, H and W.
    pooling : int
        Side of a cube.
    channels, width : int
        Of the vision tower and of the language model.
    """

    def __init__(self, grid: tuple[int, int, int], pooling: int, channels: int, width: int):
        super().__init__()
        self.grid, self.pooling = grid, pooling
        self.projector = nn.Sequential(
            nn.Linear(channels, width), nn.GELU(), nn.Linear(width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, d·h·w, channels) -> (B, image tokens, width), in D, H, W order."""
        grid = x.mT.reshape(len(x), -1, *self.grid)
        pooled = F.avg_pool3d(grid.float(), self.pooling)  # a CPU pools no bfloat16
        image_tokens: Tensor = self.projector(pooled.to(x.dtype).flatten(2).mT)
        return image_tokens


class VisionTower(nn.Module):
    """The vision tower as the published layout nests it."""

    def __init__(self, config: ViT3DConfig):
        super().__init__()
        self.vision_tower = ViT3D(config)

    def forward(self, volume: Tensor) -> list[Tensor]:
        """(B, 1, D, H, W) -> hidden states without the class token (B, patches, channels)."""
        return [hidden[:, 1:] for hidden in self.vision_tower(volume)]


class M3DLaMed(WritingNetwork):
    """Volume and prompt to text; the last hidden state of its tower is normalised."""

    config: M3DLaMedConfig

    @staticmethod
    def parts(
        config: M3DLaMedConfig,
    ) -> tuple[LlamaModel | Phi3Model, VisionTower, SpatialPooling]:
        vision, llm = config.vision, config.llm
        model = LlamaModel(llm) if isinstance(llm, LlamaConfig) else Phi3Model(llm)
        tower = VisionTower(vision)
        pooling = SpatialPooling(vision.grid, config.pooling, vision.width, llm.hidden_size)
        return model, tower, pooling

    def embed_prompt(self, input_ids: Tensor, image_tokens: Tensor) -> Tensor:
        """Put image tokens behind the first token, which Llama's tokenizer begins a text with.

        (B, n) and (B, m, hidden size), m < n -> (B, n, hidden size). Where a tokenizer adds no such
        token, the first placeholder stays and the first token of the question is overwritten, as
        in the published weights' training.
        """
        embeddings = self.embed_tokens(input_ids)
        rest = embeddings[:, 1 + image_tokens.shape[1] :]
        return torch.cat([embeddings[:, :1], image_tokens, rest], dim=1)
