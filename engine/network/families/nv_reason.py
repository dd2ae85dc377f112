"""NV-Reason-CT: Primus, a merger, and Qwen3.5, whose positions count along three axes of the image.

Three layers of four carry a state in place of keys and values, so texts are written one by one
(`engine.inference.sequential`).
"""

from __future__ import annotations

from math import prod

import torch
from pydantic import InstanceOf
from pydantic.dataclasses import dataclass
from torch import Tensor
from transformers.cache_utils import Cache
from transformers.models.qwen3_5 import Qwen3_5TextConfig, Qwen3_5TextModel

from dicom_io.errors import EngineError
from engine.network.language_model import WritingNetwork
from engine.network.towers.primus import Merger, Primus, PrimusConfig


@dataclass(frozen=True, config={"extra": "forbid"})
class NVReasonConfig:
    """The parts.

    Parameters
    ----------
    vision : PrimusConfig
    llm : Qwen3_5TextConfig
    image_start : int
        Tokens of every prompt before the first image token.
    """

    vision: PrimusConfig
    llm: InstanceOf[Qwen3_5TextConfig]
    image_start: int = 4

    @property
    def image_tokens(self) -> int:
        return prod(self.vision.grid)


class NVReason(WritingNetwork):
    """Volume and prompt to text; its tower has one hidden state."""

    config: NVReasonConfig

    @staticmethod
    def parts(config: NVReasonConfig) -> tuple[Qwen3_5TextModel, Primus, Merger]:
        llm, tower = Qwen3_5TextModel(config.llm), Primus(config.vision)
        return llm, tower, Merger(config.vision.width, config.llm.hidden_size)

    def embed_prompt(self, input_ids: Tensor, image_tokens: Tensor) -> Tensor:
        """Put image tokens in the place of their placeholders.

        (B, n) and (B, m, hidden size), m < n -> (B, n, hidden size).
        """
        start = self.config.image_start
        end = start + image_tokens.shape[1]
        places = input_ids[:, start:end]
        if input_ids.shape[1] < end or (places != places[:, :1]).any():
            raise EngineError(f"a prompt of this model has {start} tokens before the image")
        words = self.embed_tokens(input_ids)
        return torch.cat([words[:, :start], image_tokens, words[:, end:]], dim=1)

    def axes(self, slots: Tensor) -> Tensor:
        """Places in the sequence (B, n) -> positions along three axes (3, B, n).

        Text counts on all of them. An image token has the indices of its patch, and the text behind
        the image goes on after the larger of the two in the plane.
        """
        start, (d, h, w) = self.config.image_start, self.config.vision.grid
        at = (slots - start).clamp(0, d * h * w - 1)
        patch = torch.stack([at // (h * w), at // w % h, at % w])
        behind = slots - d * h * w + max(h, w)
        in_image = (slots >= start) & (slots < start + d * h * w)
        text = torch.where(slots < start, slots, behind)
        return torch.where(in_image, start + patch, text)

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
        if position_ids is None:
            seen = 0 if past_key_values is None else past_key_values.get_seq_length()
            places = torch.arange(inputs_embeds.shape[1], device=inputs_embeds.device)
            position_ids = (seen + places).expand(len(inputs_embeds), -1)
        return super().forward(
            inputs_embeds,
            attention_mask=attention_mask,
            position_ids=self.axes(position_ids),
            past_key_values=past_key_values,
            logits_to_keep=logits_to_keep,
        )
