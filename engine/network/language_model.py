"""What all families share that write with a language model of transformers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers.cache_utils import Cache


class WritingConfig(Protocol):
    """What the configurations of these families share."""

    @property
    def llm(self) -> PreTrainedConfig: ...
    @property
    def image_tokens(self) -> int: ...


class ReadingNetwork(nn.Module):
    """What every family has: `config` with `llm` and `image_tokens`, and a `model` of parts.

    The parts of `model` are `layers`, `vision_tower` and `mm_projector`.
    """

    config: Any
    model: Any

    @property
    def llm_config(self) -> PreTrainedConfig:
        llm: PreTrainedConfig = self.config.llm
        return llm

    @property
    def llm_layers(self) -> nn.ModuleList:
        layers: nn.ModuleList = self.model.layers
        return layers

    @property
    def image_token_count(self) -> int:
        count: int = self.config.image_tokens
        return count

    def encode_image(self, volume: Tensor) -> list[Tensor]:
        """(B, 1, D, H, W) -> the vision tower's hidden states (B, tokens, C)."""
        hidden_states: list[Tensor] = self.model.get_submodule("vision_tower")(volume)
        return hidden_states

    def image_tokens(self, hidden_states: list[Tensor]) -> Tensor:
        """Hidden states of the vision tower -> image tokens (B, n, hidden size)."""
        projector = self.model.get_submodule("mm_projector")
        image_tokens: Tensor = projector(hidden_states[-1].to(next(projector.parameters()).dtype))
        return image_tokens


class WritingNetwork(ABC, ReadingNetwork):
    """Volume and prompt to text; a `VisionLanguageModel`.

    Parameters
    ----------
    config : WritingConfig
        Of the family.
    """

    def __init__(self, config: WritingConfig):
        super().__init__()
        self.config: Any = config
        model, tower, projector = self.parts(config)
        self.model = model
        self.model.vision_tower, self.model.mm_projector = tower, projector
        llm: Any = config.llm
        self.lm_head = nn.Linear(llm.hidden_size, llm.vocab_size, bias=False)

    @staticmethod
    @abstractmethod
    def parts(config: Any) -> tuple[Any, nn.Module, nn.Module]:
        """Build the language model without its head, the vision tower and the projector.

        The tower gives hidden states of a volume; the projector image tokens of the last one. They
        are built in this order, on which new weights depend.
        """

    @classmethod
    def without_weights(cls, config: Any) -> Self:
        """Build it with parameters that hold no memory, for `checkpoints.weights.assemble`."""
        with torch.device("meta"):
            network = cls(config)
        # Its frequencies are computed, and so are in no checkpoint
        network.model.rotary_emb = type(network.model.rotary_emb)(config.llm)
        return network

    def embed_tokens(self, input_ids: Tensor) -> Tensor:
        """(B, n) -> (B, n, hidden size)."""
        embeddings: Tensor = self.model.embed_tokens(input_ids)
        return embeddings

    def keep_embeddings(self) -> None:
        """Drop the layers and the head, where another program writes from embedded prompts."""
        del self.model.layers[:]
        del self.lm_head

    @abstractmethod
    def embed_prompt(self, input_ids: Tensor, image_tokens: Tensor) -> Tensor:
        """Splice image tokens into the embeddings of a prompt, each family in its own way.

        (B, n) and (B, m, hidden size), m < n -> (B, n, hidden size).
        """

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
        hidden = self.model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=past_key_values is not None,
        ).last_hidden_state
        scores: Tensor = self.lm_head(hidden[:, -logits_to_keep:])
        return scores
