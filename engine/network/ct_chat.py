"""CT-CHAT (chest CT): CT-ViT, attention pooling to 256 image tokens, and Llama 3.1."""

from __future__ import annotations

import torch
from pydantic import InstanceOf
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.cache_utils import Cache
from transformers.models.llama import LlamaConfig, LlamaModel

from dicom_io.errors import EngineError
from engine.network.ct_vit import CTViT, CTViTConfig
from engine.network.language_model import logits, without_memory

POOL_HEADS = 8
"""Of the pooling, whose width is the tower's; no tensor tells it."""


@dataclass(frozen=True, config={"extra": "forbid"})
class CTChatConfig:
    """The parts.

    Parameters
    ----------
    vision : CTViTConfig
    llm : LlamaConfig
    image_token : int
        The placeholder in a prompt.
    image_tokens : int
        Learned queries of the pooling.
    """

    vision: CTViTConfig
    llm: InstanceOf[LlamaConfig]
    image_token: int
    image_tokens: int = 256


class AttentionPool(nn.Module):
    """Learned queries that look at all tokens of the volume: (B, n, C) -> (B, queries, C)."""

    def __init__(self, width: int, queries: int):
        super().__init__()
        self.query = nn.Parameter(torch.randn(queries, width))
        self.ln_k = nn.LayerNorm(width)
        self.ln_q = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_kv = nn.Linear(width, 2 * width, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        q = self.to_q(self.ln_q(self.query)).expand(len(x), -1, -1)
        parts = (q, *self.to_kv(self.ln_k(x)).chunk(2, dim=-1))
        q, k, v = (part.unflatten(-1, (POOL_HEADS, -1)).transpose(1, 2) for part in parts)
        seen = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.to_out(seen.transpose(1, 2).flatten(2))
        return out


class Projector(nn.Module):
    """Pooling, then an MLP into the language model: (B, n, C) -> (B, queries, hidden size).

    Parameters
    ----------
    width : int
        Of the tower: C.
    hidden_size : int
        Of the language model.
    queries : int
    """

    def __init__(self, width: int, hidden_size: int, queries: int):
        super().__init__()
        self.attn_pool = AttentionPool(width, queries)
        self.ln = nn.LayerNorm(width)
        self.proj = nn.Sequential(
            nn.Linear(width, hidden_size), nn.GELU(), nn.Linear(hidden_size, hidden_size)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.proj(self.ln(self.attn_pool(x)))
        return out


class CTChat(nn.Module):
    """Volume and prompt to text; a `VisionLanguageModel`."""

    def __init__(self, config: CTChatConfig):
        super().__init__()
        self.config = config
        self.model = LlamaModel(config.llm)
        self.model.vision_tower = CTViT(config.vision)
        self.model.mm_projector = Projector(
            config.vision.width, config.llm.hidden_size, config.image_tokens
        )
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
        """(B, 1, D, H, W) -> the codebook vectors of its patches (B, tokens, channels)."""
        hidden_states: list[Tensor] = self.model.get_submodule("vision_tower")(volume)
        return hidden_states

    def image_tokens(self, hidden_states: list[Tensor]) -> Tensor:
        """Hidden states -> image tokens (B, n, hidden size)."""
        projector = self.model.get_submodule("mm_projector")
        image_tokens: Tensor = projector(hidden_states[-1].to(next(projector.parameters()).dtype))
        return image_tokens

    def embed_tokens(self, input_ids: Tensor) -> Tensor:
        """(B, n) -> (B, n, hidden size)."""
        embeddings: Tensor = self.model.embed_tokens(input_ids)
        return embeddings

    def embed_prompt(self, input_ids: Tensor, image_tokens: Tensor) -> Tensor:
        """Put image tokens in the place of their placeholders, wherever the prompt has them.

        (B, n) and (B, m, hidden size), m < n -> (B, n, hidden size).
        """
        places = input_ids == self.config.image_token
        if (places.sum(dim=1) != image_tokens.shape[1]).any():
            raise EngineError(f"a prompt of this model has {image_tokens.shape[1]} image tokens")
        words = self.embed_tokens(input_ids)
        return words.masked_scatter(places[..., None], image_tokens.to(words.dtype))

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


def without_weights(config: CTChatConfig) -> CTChat:
    """Build the network with parameters that hold no memory, for `checkpoints.weights.assemble`."""
    return without_memory(lambda: CTChat(config), config.llm)
