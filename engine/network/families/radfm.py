"""RadFM: a 3D ViT, a resampler to 32 image tokens, and LLaMA 13B.

The grey volume is seen as three equal channels. However many patches it has, 32 learned vectors
look at them, and become the image tokens.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from pydantic import InstanceOf
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.llama import LlamaConfig, LlamaModel

from dicom_io.errors import EngineError
from engine.network.language_model import WritingNetwork
from engine.network.towers.vit3d import NO_LAG, attend, patches

CHANNELS = 3
"""The tower was made for colour pictures, too."""


@dataclass(frozen=True, config={"extra": "forbid"})
class RadFMViTConfig:
    """Sizes of the vision tower.

    Parameters
    ----------
    input_size, patch : tuple of int
        (D, H, W) of the volume and of a patch, which divides it.
    positions : tuple of int
        Learned positions along D, H and W; a third of the width each.
    width, layers, heads, head_width, feed_forward : int
    """

    input_size: tuple[int, int, int] = (64, 256, 256)
    patch: tuple[int, int, int] = (4, 32, 32)
    positions: tuple[int, int, int] = (128, 16, 16)
    width: int = 768
    layers: int = 12
    heads: int = 8
    head_width: int = 64
    feed_forward: int = 2048

    def __post_init__(self) -> None:
        if any(n % p for n, p in zip(self.input_size, self.patch, strict=True)):
            raise ValueError(f"an input of {self.input_size} cannot be cut into {self.patch}")
        if any(n > most for n, most in zip(self.grid, self.positions, strict=True)):
            raise ValueError(f"{self.grid} patches are more than {self.positions} positions")

    @property
    def grid(self) -> tuple[int, int, int]:
        """Patches along D, H and W."""
        d, h, w = (n // p for n, p in zip(self.input_size, self.patch, strict=True))
        return d, h, w

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(tokens, channels) of each hidden state."""
        return ((prod(self.grid), self.width),) * self.layers


@dataclass(frozen=True, config={"extra": "forbid"})
class RadFMConfig:
    """The parts.

    Parameters
    ----------
    vision : RadFMViTConfig
    llm : LlamaConfig
    image_tokens : int
        Learned vectors of the resampler.
    resampler_layers : int
    """

    vision: RadFMViTConfig
    llm: InstanceOf[LlamaConfig]
    image_tokens: int = 32
    resampler_layers: int = 6

    @property
    def tokens(self) -> int:
        """All that a prompt may hold: words, and three that no text becomes."""
        return self.llm.vocab_size + 3


class Positions(nn.Module):
    """Learned positions along rows, columns and slices, side by side.

    A grid smaller than the tables is spread over them: n patches take every (N // n)-th of N rows.
    """

    def __init__(self, config: RadFMViTConfig):
        super().__init__()
        slices, rows, columns = config.positions
        third = config.width // 3
        self.rows = nn.Embedding(rows, third)
        self.columns = nn.Embedding(columns, third)
        self.slices = nn.Embedding(slices, third)

    def forward(self, h: int, w: int, d: int) -> Tensor:
        """Return the positions of a grid.

        Parameters
        ----------
        h, w, d : int
            Patches along H, W and D.

        Returns
        -------
        Tensor, shape (h·w·d, width)
            Slices fastest.
        """
        tables = (self.rows.weight, self.columns.weight, self.slices.weight)
        row, column, at = (
            table[len(table) // n - 1 :: len(table) // n][:n]
            for table, n in zip(tables, (h, w, d), strict=True)
        )
        parts = (row[:, None, None], column[None, :, None], at[None, None])
        return torch.cat([part.expand(h, w, d, -1) for part in parts], dim=-1).flatten(0, 2)


class Attention(nn.Module):
    """Norm, then self-attention whose heads do not add up to the width: (B, n, C) -> the same."""

    def __init__(self, config: RadFMViTConfig):
        super().__init__()
        inner = config.heads * config.head_width
        self.heads = config.heads
        self.norm = nn.LayerNorm(config.width)
        self.qkv = nn.Linear(config.width, 3 * inner, bias=False)
        self.out = nn.Linear(inner, config.width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(attend(self.qkv(self.norm(x)), self.heads))
        return out


def feed_forward(width: int, inner: int, *, bias: bool) -> nn.Sequential:
    """Norm, Linear, GELU, Linear.

    Parameters
    ----------
    width, inner : int
    bias : bool
        Of both linear maps.
    """
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, inner, bias=bias),
        nn.GELU(),
        nn.Linear(inner, width, bias=bias),
    )


class RadFMViT(nn.Module):
    """The vision tower; its last hidden state is not normalised."""

    lag = NO_LAG

    def __init__(self, config: RadFMViTConfig):
        super().__init__()
        self.config = config
        numbers = CHANNELS * prod(config.patch)
        self.patch_embedding = nn.Sequential(
            nn.LayerNorm(numbers), nn.Linear(numbers, config.width), nn.LayerNorm(config.width)
        )
        self.positions = Positions(config)
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [Attention(config), feed_forward(config.width, config.feed_forward, bias=True)]
            )
            for _ in range(config.layers)
        )

    def forward(self, volume: Tensor) -> list[Tensor]:
        """Encode volumes.

        Parameters
        ----------
        volume : Tensor, shape (B, 1, D, H, W)
            Values in [0, 1]; three channels are taken, too.

        Returns
        -------
        list of Tensor
            Of each layer: (B, patches, width), in H, W, D order.
        """
        return self.from_grid(self.to_grid(volume))

    def to_grid(self, volume: Tensor) -> Tensor:
        """(B, 1, D, H, W) -> embedded patches, (B, D', H', W', width)."""
        depth, *in_plane = self.config.patch
        colour = volume.expand(-1, CHANNELS, -1, -1, -1).movedim(2, -1)
        h, w, d = (n // p for n, p in zip(colour.shape[2:], (*in_plane, depth), strict=True))
        embedded: Tensor = self.patch_embedding(patches(colour, (in_plane[0], in_plane[1], depth)))
        return embedded.view(len(volume), h, w, d, -1).movedim(3, 1)

    def from_grid(self, x: Tensor) -> list[Tensor]:
        """Embedded patches -> what `forward` gives."""
        x = x.movedim(1, 3)
        x = x.flatten(1, 3) + self.positions(*x.shape[1:4])
        hidden_states = []
        layers: Any = self.layers
        for attention, mlp in layers:
            x = x + attention(x)
            x = x + mlp(x)
            hidden_states.append(x)
        return hidden_states


class Look(nn.Module):
    """Latents look at an image and at themselves: (B, n, C) and (B, m, C) -> (B, m, C).

    Parameters
    ----------
    width : int
        C.
    heads, head_width : int
    """

    def __init__(self, width: int, heads: int, head_width: int):
        super().__init__()
        inner = heads * head_width
        self.heads = heads
        self.norm_image, self.norm_latents = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query = nn.Linear(width, inner, bias=False)
        self.key_value = nn.Linear(width, 2 * inner, bias=False)
        self.out = nn.Linear(inner, width, bias=False)

    def forward(self, image: Tensor, latents: Tensor) -> Tensor:
        image, latents = self.norm_image(image), self.norm_latents(latents)
        seen = torch.cat([image, latents], dim=1)
        parts = (self.query(latents), *self.key_value(seen).chunk(2, dim=-1))
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        looked = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        out: Tensor = self.out(looked)
        return out


class Resampler(nn.Module):
    """Patches -> image tokens: (B, n, C) -> (B, image tokens, hidden size)."""

    def __init__(self, config: RadFMConfig):
        super().__init__()
        vision, width = config.vision, config.vision.width
        self.latents = nn.Parameter(torch.randn(config.image_tokens, width))
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    Look(width, vision.heads, vision.head_width),
                    feed_forward(width, 4 * width, bias=False),
                ]
            )
            for _ in range(config.resampler_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.to_words = nn.Linear(width, config.llm.hidden_size)

    def resample(self, image: Tensor) -> Tensor:
        """(B, n, C) -> (B, image tokens, C)."""
        latents = self.latents.expand(len(image), -1, -1)
        layers: Any = self.layers
        for look, mlp in layers:
            latents = latents + look(image, latents)
            latents = latents + mlp(latents)
        out: Tensor = self.norm(latents)
        return out

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.to_words(self.resample(image))
        return out


class RadFM(WritingNetwork):
    """Volume and prompt to text.

    Three tokens follow the words of the vocabulary: what begins an image, what ends it, and the
    placeholder of an image token. The first two have embeddings that the language model has not.
    """

    config: RadFMConfig

    def __init__(self, config: RadFMConfig):
        super().__init__(config)
        self.model.figure_tokens = nn.Parameter(torch.randn(2, config.llm.hidden_size))

    @staticmethod
    def parts(config: RadFMConfig) -> tuple[LlamaModel, RadFMViT, Resampler]:
        return LlamaModel(config.llm), RadFMViT(config.vision), Resampler(config)

    def embed_prompt(self, input_ids: Tensor, image_tokens: Tensor) -> Tensor:
        """Put image tokens in the place of their placeholders, wherever the prompt has them.

        (B, n) and (B, m, hidden size), m < n -> (B, n, hidden size).
        """
        words = self.config.llm.vocab_size
        places = input_ids == words + 2
        if (places.sum(dim=1) != image_tokens.shape[1]).any():
            raise EngineError(f"a prompt of this model has {image_tokens.shape[1]} image tokens")
        embeddings = self.embed_tokens(input_ids.clamp(max=words - 1))
        for number, figure in enumerate(self.model.figure_tokens):
            embeddings = torch.where((input_ids == words + number)[..., None], figure, embeddings)
        return embeddings.masked_scatter(places[..., None], image_tokens.to(embeddings.dtype))
