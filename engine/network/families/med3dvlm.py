"""Med3DVLM: DCFormer, the dual-stream mixer and a Qwen2 language model (paper, figure 1).

Module names are those of the published `vlm_qwen` layout.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import InstanceOf
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from transformers.models.qwen2 import Qwen2Config, Qwen2Model

from engine.network.language_model import WritingNetwork
from engine.network.projector import ProjectorConfig, projector
from engine.network.towers.vision import VisionConfig, vision_tower

Splice = Literal["clean", "published"]

VISION_TOWER = "model.vision_tower."
"""What the names of the vision tower's tensors begin with."""


@dataclass(frozen=True, config={"extra": "forbid"})
class Med3DVLMConfig:
    """The three parts and how image tokens enter the prompt.

    Parameters
    ----------
    vision, projector, llm
        Sizes of the parts; `projector.width` equals `llm.hidden_size`.
    splice : {"clean", "published"}
        A prompt begins with one placeholder per image token. "clean" puts image tokens exactly
        there. "published" is what the published weights were trained with: the first placeholder's
        embedding stays, image tokens follow it, and the first token of the question is overwritten.
    """

    vision: VisionConfig
    projector: ProjectorConfig
    llm: InstanceOf[Qwen2Config]
    splice: Splice = "clean"

    @property
    def image_tokens(self) -> int:
        return self.projector.image_tokens

    def __post_init__(self) -> None:
        low, high = self.vision.shapes[-2:]
        read = [("high", self.projector.high, high)]
        if self.projector.hierarchical:
            read.append(("low", self.projector.low, low))
        for name, stream, (tokens, channels) in read:
            if (stream.tokens, stream.channels) != (tokens, channels):
                raise ValueError(
                    f"the projector's {name} stream reads {stream.tokens} tokens of "
                    f"{stream.channels}; the vision tower gives {tokens} of {channels}"
                )
        if self.projector.width != self.llm.hidden_size:
            raise ValueError(
                f"the projector gives tokens of {self.projector.width}, the language model's have "
                f"{self.llm.hidden_size}"
            )
        if self.projector.image_tokens >= self.llm.max_position_embeddings:
            raise ValueError(
                f"{self.projector.image_tokens} image tokens leave no room for text: the language "
                f"model's context holds {self.llm.max_position_embeddings}"
            )


class VisionTower(nn.Module):
    """The vision tower as the published layout nests it."""

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.vision_tower = vision_tower(config)

    def forward(self, volume: Tensor) -> list[Tensor]:
        """(B, 1, D, H, W) -> hidden states (B, tokens, C)."""
        hidden_states: list[Tensor] = self.vision_tower(volume)
        return hidden_states


class Med3DVLM(WritingNetwork):
    """Volume and prompt to text."""

    config: Med3DVLMConfig

    @staticmethod
    def parts(config: Med3DVLMConfig) -> tuple[Qwen2Model, VisionTower, nn.Module]:
        llm, tower = Qwen2Model(config.llm), VisionTower(config.vision)
        return llm, tower, projector(config.projector)

    def project(self, low: Tensor, high: Tensor) -> Tensor:
        """Last stage of the vision tower but one, and last -> image tokens (B, n, hidden size)."""
        streams = (low, high) if self.config.projector.hierarchical else (high,)
        image_tokens: Tensor = self.model.get_submodule("mm_projector")(*streams)
        return image_tokens

    def image_tokens(self, hidden_states: list[Tensor]) -> Tensor:
        """Hidden states of the vision tower -> image tokens (B, n, hidden size)."""
        dtype = next(self.model.get_submodule("mm_projector").parameters()).dtype
        low, high = (hidden.to(dtype) for hidden in hidden_states[-2:])
        return self.project(low, high)

    def embed_prompt(self, input_ids: Tensor, image_tokens: Tensor) -> Tensor:
        """Splice image tokens into the embeddings of a prompt that begins with their placeholders.

        Parameters
        ----------
        input_ids : Tensor, shape (B, n)
        image_tokens : Tensor, shape (B, m, hidden size), m < n

        Returns
        -------
        Tensor, shape (B, n, hidden size)
        """
        embeddings = self.embed_tokens(input_ids)
        start = 1 if self.config.splice == "published" else 0
        end = start + image_tokens.shape[1]
        return torch.cat([embeddings[:, :start], image_tokens, embeddings[:, end:]], dim=1)
