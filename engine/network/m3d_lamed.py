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
from transformers.cache_utils import Cache
from transformers.models.llama import LlamaConfig, LlamaModel
from transformers.models.phi3 import Phi3Config, Phi3Model

from engine.network.language_model import logits, without_memory
from engine.network.vit3d import ViT3D, ViT3DConfig


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


class M3DLaMed(nn.Module):
    """Volume and prompt to text; a `VisionLanguageModel`."""

    def __init__(self, config: M3DLaMedConfig):
        super().__init__()
        vision, llm = config.vision, config.llm
        self.config = config
        self.model = LlamaModel(llm) if isinstance(llm, LlamaConfig) else Phi3Model(llm)
        self.model.vision_tower = VisionTower(vision)
        self.model.mm_projector = SpatialPooling(
            vision.grid, config.pooling, vision.width, llm.hidden_size
        )
        self.lm_head = nn.Linear(llm.hidden_size, llm.vocab_size, bias=False)

    @property
    def llm_config(self) -> LlamaConfig | Phi3Config:
        return self.config.llm

    @property
    def llm_layers(self) -> nn.ModuleList:
        layers: nn.ModuleList = self.model.layers
        return layers

    @property
    def image_token_count(self) -> int:
        return self.config.image_tokens

    def encode_image(self, volume: Tensor) -> list[Tensor]:
        """(B, 1, D, H, W) -> hidden states (B, patches, channels), the last one normalised."""
        hidden_states: list[Tensor] = self.model.get_submodule("vision_tower")(volume)
        return hidden_states

    def image_tokens(self, hidden_states: list[Tensor]) -> Tensor:
        """Hidden states of the vision tower -> image tokens (B, n, hidden size)."""
        perceiver = self.model.get_submodule("mm_projector")
        image_tokens: Tensor = perceiver(hidden_states[-1].to(next(perceiver.parameters()).dtype))
        return image_tokens

    def embed_tokens(self, input_ids: Tensor) -> Tensor:
        """(B, n) -> (B, n, hidden size)."""
        embeddings: Tensor = self.model.embed_tokens(input_ids)
        return embeddings

    def embed_prompt(self, input_ids: Tensor, image_tokens: Tensor) -> Tensor:
        """Put image tokens behind the first token, which Llama's tokenizer begins a text with.

        (B, n) and (B, m, hidden size), m < n -> (B, n, hidden size). Where a tokenizer adds no such
        token, the first placeholder stays and the first token of the question is overwritten, as
        in the published weights' training.
        """
        embeddings = self.embed_tokens(input_ids)
        rest = embeddings[:, 1 + image_tokens.shape[1] :]
        return torch.cat([embeddings[:, :1], image_tokens, rest], dim=1)

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


def without_weights(config: M3DLaMedConfig) -> M3DLaMed:
    """Build the network with parameters that hold no memory, for `checkpoints.weights.assemble`."""
    return without_memory(lambda: M3DLaMed(config), config.llm)
