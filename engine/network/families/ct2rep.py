"""CT2Rep: CT-ViT, and a decoder of chest CT reports whose norms depend on what it remembers.

The memory of a word is made from that of the word before, so texts are written one by one
(`engine.inference.sequential`). Each decoder layer sees the image through attention of its own;
its keys and values stand before those of the words in the same layer of the cache.
"""

from __future__ import annotations

from math import log, prod, sqrt
from typing import Any

import torch
from huggingface_hub.dataclasses import strict
from pydantic import InstanceOf
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, PreTrainedConfig
from transformers.cache_utils import Cache, DynamicCache

from engine.network.language_model import ReadingNetwork
from engine.network.towers.ct_vit import CTViT, CTViTConfig

EPSILON = 1e-6
"""Added to the standard deviation, not to the variance."""

LONGEST_WAVE = 10_000
"""Of the sines that tell a word's position, in radians of 1/(2 pi) words (Vaswani 2017)."""


@strict
class CT2RepTextConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """Sizes of encoder and decoder; the last of `num_hidden_layers` is the memory.

    transformers knows a layer with a state as "linear_attention".
    """

    model_type = "ct2rep_text"

    vocab_size: int = 30
    hidden_size: int = 512
    intermediate_size: int = 512
    num_hidden_layers: int = 4
    layer_types: list[str] | None = None
    num_attention_heads: int = 8
    num_key_value_heads: int | None = None
    max_position_embeddings: int = 13_000
    memory_slots: int = 3
    memory_heads: int = 8
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        words = self.num_hidden_layers - 1
        self.layer_types = ["full_attention"] * words + ["linear_attention"]
        self.num_key_value_heads = self.num_attention_heads
        super().__post_init__(**kwargs)  # type: ignore[no-untyped-call]


AutoConfig.register(CT2RepTextConfig.model_type, CT2RepTextConfig, exist_ok=True)


@dataclass(frozen=True, config={"extra": "forbid"})
class CT2RepConfig:
    """The two parts with sizes."""

    vision: CTViTConfig
    llm: InstanceOf[CT2RepTextConfig]

    @property
    def image_tokens(self) -> int:
        return prod(self.vision.grid)


def normalised(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Norm with the unbiased standard deviation.

    Parameters
    ----------
    x : Tensor, shape (B, n, C)
    weight, bias : Tensor, shape (C) or (B, n, C)
    """
    centred = x - x.mean(dim=-1, keepdim=True)
    return weight * centred / (x.std(dim=-1, keepdim=True) + EPSILON) + bias


class Norm(nn.Module):
    """`normalised` by learned weights."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return normalised(x, self.weight, self.bias)


class RememberingNorm(Norm):
    """`normalised` by learned weights and what the memory of a word adds to them."""

    def __init__(self, width: int, memory: int):
        super().__init__(width)
        self.to_weight = two_maps(memory, width, width)
        self.to_bias = two_maps(memory, width, width)

    def forward(self, x: Tensor, memory: Tensor | None = None) -> Tensor:
        weight, bias = self.weight + self.to_weight(memory), self.bias + self.to_bias(memory)
        return normalised(x, weight, bias)


def two_maps(width: int, inner: int, out: int) -> nn.Sequential:
    """Linear maps with a ReLU between them.

    Parameters
    ----------
    width, inner, out : int
        Channels before, between and after.
    """
    return nn.Sequential(nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, out))


class Attention(nn.Module):
    """Of several heads; all four maps have a bias."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(
        self, x: Tensor, keys_values: tuple[Tensor, Tensor], visible: Tensor | None = None
    ) -> Tensor:
        """Attend.

        Parameters
        ----------
        x : Tensor, shape (B, n, C)
        keys_values : two Tensors, shape (B, heads, m, head width)
        visible : Tensor of bool, shape (B or 1, 1, n, m), optional
        """
        query = self._split(self.query(x))
        seen = F.scaled_dot_product_attention(query, *keys_values, attn_mask=visible)
        out: Tensor = self.out(seen.transpose(1, 2).flatten(2))
        return out

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, m, C) -> two of (B, heads, m, head width)."""
        return self._split(self.key(x)), self._split(self.value(x))

    def _split(self, x: Tensor) -> Tensor:
        width = x.shape[-1] // self.heads  # not -1: once the cache holds the image, x is empty
        return x.reshape(*x.shape[:2], self.heads, width).transpose(1, 2)


class EncoderLayer(nn.Module):
    """Attention between image tokens, then a feed-forward; each after a norm."""

    def __init__(self, llm: CT2RepTextConfig):
        super().__init__()
        width = llm.hidden_size
        self.attention = Attention(width, llm.num_attention_heads)
        self.feed_forward = two_maps(width, llm.intermediate_size, width)
        self.norms = nn.ModuleList(Norm(width) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        before = self.norms[0](x)
        x = x + self.attention(before, self.attention.keys_values(before))
        out: Tensor = x + self.feed_forward(self.norms[1](x))
        return out


class ImageEncoder(nn.Module):
    """Features of the patches (B, n, C) -> what the decoder attends to (B, n, hidden size).

    It knows no position of its own: the tower has told it.
    """

    def __init__(self, config: CT2RepConfig):
        super().__init__()
        llm = config.llm
        self.embed = nn.Linear(config.vision.width, llm.hidden_size)
        self.layers = nn.ModuleList(EncoderLayer(llm) for _ in range(llm.num_hidden_layers - 1))
        self.norm = Norm(llm.hidden_size)

    def forward(self, features: Tensor) -> Tensor:
        x = self.embed(features).relu()
        for layer in self.layers:
            x = layer(x)
        out: Tensor = self.norm(x)
        return out


class Memory(nn.Module):
    """A few slots that attend to themselves and to the word, and let some of it in."""

    def __init__(self, llm: CT2RepTextConfig):
        super().__init__()
        width = llm.hidden_size
        self.slots = llm.memory_slots
        self.attention = Attention(width, llm.memory_heads)
        self.feed_forward = two_maps(width, width, width)
        self.gates_of_word = nn.Linear(width, 2 * width)
        self.gates_of_memory = nn.Linear(width, 2 * width)

    def start(self, like: Tensor) -> Tensor:
        """Before the first word: rows of the identity, (B, slots, C)."""
        rows = torch.eye(self.slots, like.shape[-1], dtype=like.dtype, device=like.device)
        return rows.expand(len(like), -1, -1)

    def forward(self, memory: Tensor, word: Tensor) -> Tensor:
        """(B, slots, C) and (B, 1, C) -> the next (B, slots, C)."""
        seen = self.attention.keys_values(torch.cat([memory, word], dim=1))
        new = memory + self.attention(memory, seen)
        new = new + self.feed_forward(new).relu()
        gates = self.gates_of_word(word) + self.gates_of_memory(memory.tanh())
        let_in, kept = gates.sigmoid().chunk(2, dim=-1)
        out: Tensor = let_in * new.tanh() + kept * memory
        return out


class DecoderLayer(nn.Module):
    """Attention to the words so far, to the image, a feed-forward; norms know the memory."""

    def __init__(self, llm: CT2RepTextConfig, index: int):
        super().__init__()
        width = llm.hidden_size
        self.index = index
        self.attention = Attention(width, llm.num_attention_heads)
        self.image_attention = Attention(width, llm.num_attention_heads)
        self.feed_forward = two_maps(width, llm.intermediate_size, width)
        remembered = llm.memory_slots * width
        self.norms = nn.ModuleList(RememberingNorm(width, remembered) for _ in range(3))

    def forward(
        self,
        x: Tensor,
        *,
        image: Tensor,
        memories: Tensor,
        visible: Tensor,
        cache: Cache,
        image_tokens: int,
    ) -> Tensor:
        """Read words.

        Parameters
        ----------
        x : Tensor, shape (B, n, C)
        image : Tensor, shape (B, image tokens or 0, C)
            Encoded; empty once the cache holds its keys and values.
        memories : Tensor, shape (B, n, slots C)
            Of each word.
        visible : Tensor of bool, shape (B, 1, n, words so far)
        cache : Cache
        image_tokens : int
            How many keys of the cache are the image's.
        """
        before = self.norms[0](x, memories)
        of_image, of_words = (
            self.image_attention.keys_values(image),
            self.attention.keys_values(before),
        )
        new_keys, new_values = map(torch.cat, zip(of_image, of_words, strict=True), (2, 2))
        keys, values = cache.update(new_keys, new_values, self.index)
        n = image_tokens
        x = x + self.attention(before, (keys[:, :, n:], values[:, :, n:]), visible)
        before = self.norms[1](x, memories)
        x = x + self.image_attention(before, (keys[:, :, :n], values[:, :, :n]))
        out: Tensor = x + self.feed_forward(self.norms[2](x, memories))
        return out


class Decoder(nn.Module):
    """The embeddings of an image and words (B, n, C) -> hidden states of the words."""

    def __init__(self, config: CT2RepConfig):
        super().__init__()
        llm = config.llm
        self.config = config
        self.embed_tokens = nn.Embedding(llm.vocab_size, llm.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(llm, i) for i in range(llm.num_hidden_layers - 1))
        self.memory = Memory(llm)
        self.norm = Norm(llm.hidden_size)

    def forward(self, inputs: Tensor, is_word: Tensor | None, cache: Cache) -> Tensor:
        """Read what the cache does not hold yet.

        Parameters
        ----------
        inputs : Tensor, shape (B, n, C)
        is_word : Tensor of bool, shape (B, keys), optional
            False where a word is padding.
        cache : Cache
        """
        n, seen = self.config.image_tokens, cache.get_seq_length()
        image, words = inputs.tensor_split([n if seen == 0 else 0], dim=1)
        read = max(seen - n, 0)
        at = torch.arange(read, read + words.shape[1], device=inputs.device)
        x = words + sines(at, words.shape[-1]).to(words.dtype)
        visible = torch.arange(read + len(at), device=inputs.device) <= at[:, None]
        visible = visible[None, None]
        if is_word is not None:
            visible = visible & is_word[:, None, None, n:]
        memories = self.remember(x, cache)
        for layer in self.layers:
            x = layer(
                x, image=image, memories=memories, visible=visible, cache=cache, image_tokens=n
            )
        out: Tensor = self.norm(x)
        return out

    def remember(self, words: Tensor, cache: Cache) -> Tensor:
        """Memory of each word, and of the last one in the cache: (B, n, C) -> (B, n, slots C)."""
        layer: Any = cache.layers[len(self.layers)]
        kept = layer.recurrent_states[0]
        memory = self.memory.start(words) if kept is None else kept.clone()
        memories = []
        for word in torch.split(words, 1, dim=1):
            memory = self.memory(memory, word)
            memories.append(memory.flatten(1))
        cache.update_recurrent_state(memory, len(self.layers))
        return torch.stack(memories, dim=1)


def sines(at: Tensor, width: int) -> Tensor:
    """Positions (n) -> (n, width): sines on even channels, cosines on odd ones."""
    steps = torch.arange(0, width, 2, device=at.device, dtype=torch.float32)
    angles = at[:, None] * (steps * (-log(LONGEST_WAVE) / width)).exp()
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


class CT2Rep(ReadingNetwork):
    """Volume to text; a `VisionLanguageModel`. One token, which also ends a text, begins it."""

    def __init__(self, config: CT2RepConfig):
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        self.model.vision_tower = CTViT(config.vision)
        self.model.mm_projector = ImageEncoder(config)
        self.lm_head = nn.Linear(config.llm.hidden_size, config.llm.vocab_size)

    def embed_tokens(self, input_ids: Tensor) -> Tensor:
        """(B, n) -> (B, n, hidden size)."""
        words: Tensor = self.model.embed_tokens(input_ids)
        return words * sqrt(words.shape[-1])

    def embed_prompt(self, input_ids: Tensor, image_tokens: Tensor) -> Tensor:
        """Put image tokens in the place of their placeholders, which come first.

        (B, n) and (B, m, hidden size), m < n -> (B, n, hidden size).
        """
        words = self.embed_tokens(input_ids[:, image_tokens.shape[1] :])
        return torch.cat([image_tokens, words], dim=1)

    def forward(
        self,
        inputs_embeds: Tensor,
        *,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        logits_to_keep: int = 0,
    ) -> Tensor:
        """Return logits of the words, which are counted here; see `VisionLanguageModel`."""
        cache = past_key_values or DynamicCache(config=self.config.llm)
        hidden = self.model(inputs_embeds, attention_mask, cache)
        scores: Tensor = self.lm_head(hidden[:, -logits_to_keep:])
        return scores


def without_weights(config: CT2RepConfig) -> CT2Rep:
    """Build the network with parameters that hold no memory, for `checkpoints.weights.assemble`."""
    with torch.device("meta"):
        return CT2Rep(config)
