"""What a model family is to `engine.inference.local`: volume and prompt embeddings to logits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers.cache_utils import Cache


class VisionLanguageModel(Protocol):
    """A vision tower, a projector and a language model, in eval mode on one device."""

    @property
    def llm_config(self) -> PreTrainedConfig:
        """Sizes of the language model: context, vocabulary, layers, heads."""
        ...

    @property
    def llm_layers(self) -> nn.ModuleList:
        """The language model's decoder layers."""
        ...

    @property
    def image_token_count(self) -> int:
        """Image tokens of one volume: as many placeholders lead every prompt."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """All weights; the first one's device is where the model runs."""
        ...

    def encode_image(self, volume: Tensor) -> list[Tensor]:
        """(B, 1, D, H, W) -> hidden states (B, tokens, C) of the vision tower's stages.

        The mean over the tokens of the last one is the image embedding.
        """
        ...

    def image_tokens(self, hidden_states: list[Tensor]) -> Tensor:
        """What `encode_image` gave -> image tokens (B, n, hidden size) in the LLM's type."""
        ...

    def embed_tokens(self, input_ids: Tensor) -> Tensor:
        """(B, n) -> (B, n, hidden size)."""
        ...

    def embed_prompt(self, input_ids: Tensor, image_tokens: Tensor) -> Tensor:
        """Splice image tokens into the embeddings of a prompt that begins with placeholders.

        (B, n) and (B, m, hidden size), m < n -> (B, n, hidden size).
        """
        ...

    def __call__(
        self,
        inputs_embeds: Tensor,
        *,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        logits_to_keep: int = 0,
    ) -> Tensor:
        """Return the logits of embeddings (B, n, hidden size).

        Parameters
        ----------
        attention_mask : Tensor of bool, optional
            (B, keys) where a key is a token, or (B, 1, n, keys) where a query may see it. None:
            every token sees itself and all before it.
        position_ids : Tensor of int, shape (B, n), optional
            None counts from what the cache holds.
        past_key_values : Cache, optional
            Keys and values of what was read before; this call adds its own.
        logits_to_keep : int
            Of the last so many positions; 0 keeps all.

        Returns
        -------
        Tensor, shape (B, kept positions, vocabulary)
        """
        ...
