"""CT-CHAT (chest CT): CT-ViT, attention pooling to 256 image tokens, and Llama 3.1."""

from __future__ import annotations

import torch
from pydantic import InstanceOf
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.llama import LlamaConfig, LlamaModel

from dicom_io.errors import EngineError
from engine.network.language_model import WritingNetwork
from engine.network.towers.ct_vit import CTViT, CTViTConfig

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


class CTChat(WritingNetwork):
    """Volume and prompt to text; its tower's hidden states are the codebook's vectors."""

    config: CTChatConfig

    @staticmethod
    def parts(config: CTChatConfig) -> tuple[LlamaModel, CTViT, Projector]:
        width, hidden_size = config.vision.width, config.llm.hidden_size
        llm, tower = LlamaModel(config.llm), CTViT(config.vision)
        return llm, tower, Projector(width, hidden_size, config.image_tokens)

    def embed_prompt(self, input_ids: Tensor, image_tokens: Tensor) -> Tensor:
        """Put image tokens in the place of their placeholders, wherever the prompt has them.

        (B, n) and (B, m, hidden size), m < n -> (B, n, hidden size).
        """
        places = input_ids == self.config.image_token
        if (places.sum(dim=1) != image_tokens.shape[1]).any():
            raise EngineError(f"a prompt of this model has {image_tokens.shape[1]} image tokens")
        words = self.embed_tokens(input_ids)
        return words.masked_scatter(places[..., None], image_tokens.to(words.dtype))
