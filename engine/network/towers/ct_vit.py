"""CT-ViT, the vision tower of CT-CLIP, CT-CHAT and CT2Rep.

Its attention is in slabs, then along the depth. Every patch of the volume leaves it as one of a
few thousand learned vectors, its codebook's.
"""

from __future__ import annotations

from math import prod

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

TEMPERATURE = 8.0
"""What the products of normalised queries and keys are multiplied with."""

SLOPE = 0.1
"""Of the leaky ReLU of the position bias."""

ROWS = 2048
"""Tokens that are compared with the codebook at a time: 64 MiB of similarities in float32."""


@dataclass(frozen=True, config={"extra": "forbid"})
class CTViTConfig:
    """Sizes.

    Parameters
    ----------
    input_size : tuple of int
        (D, H, W) of the volume.
    patch : tuple of int
        Rows and columns of a patch.
    slab : int
        Its slices.
    width, heads, head_width : int
    spatial_layers, temporal_layers : int
    codebook : int
        Vectors of the codebook.
    """

    input_size: tuple[int, int, int] = (240, 480, 480)
    patch: tuple[int, int] = (20, 20)
    slab: int = 10
    width: int = 512
    heads: int = 8
    head_width: int = 32
    spatial_layers: int = 4
    temporal_layers: int = 4
    codebook: int = 8192

    def __post_init__(self) -> None:
        sides = (self.slab, *self.patch)
        if any(n % side for n, side in zip(self.input_size, sides, strict=True)):
            raise ValueError(f"patches of {sides} do not fill {self.input_size}")

    @property
    def grid(self) -> tuple[int, int, int]:
        """Patches along D, H and W."""
        d, h, w = self.input_size
        return d // self.slab, h // self.patch[0], w // self.patch[1]

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(tokens, channels) of each hidden state."""
        return ((prod(self.grid), self.width),)


def position_bias(config: CTViTConfig) -> nn.Sequential:
    """Signed logarithms of the distance along rows and columns -> a bias for each head."""
    return nn.Sequential(
        nn.Linear(2, config.width),
        nn.LeakyReLU(SLOPE),
        nn.Linear(config.width, config.width),
        nn.LeakyReLU(SLOPE),
        nn.Linear(config.width, config.heads),
    )


def log_distances(h: int, w: int, device: torch.device) -> Tensor:
    """Signed logarithms for every query and key of a slab: (hw, hw, 2), rows and columns.

    Parameters
    ----------
    h, w : int
        Patches along rows and columns.
    device : torch.device
    """
    at = torch.cartesian_prod(torch.arange(h, device=device), torch.arange(w, device=device))
    between = (at[:, None] - at[None]).float()
    return between.sign() * between.abs().log1p()


class Attention(nn.Module):
    """Cosine attention; keys and values are of the tokens as they are, not normalised."""

    def __init__(self, config: CTViTConfig):
        super().__init__()
        inner = config.heads * config.head_width
        self.heads = config.heads
        self.norm = nn.LayerNorm(config.width)
        self.to_q = nn.Linear(config.width, inner, bias=False)
        self.to_kv = nn.Linear(config.width, 2 * inner, bias=False)
        self.q_scale = nn.Parameter(torch.ones(config.head_width))
        self.k_scale = nn.Parameter(torch.ones(config.head_width))
        self.to_out = nn.Linear(inner, config.width, bias=False)

    def forward(self, x: Tensor, bias: Tensor | None) -> Tensor:
        k, v = (self._split(part) for part in self.to_kv(x).chunk(2, dim=-1))
        q = F.normalize(self._split(self.to_q(self.norm(x))), dim=-1) * self.q_scale
        k = F.normalize(k, dim=-1) * self.k_scale
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=TEMPERATURE)
        out: Tensor = self.to_out(seen.transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)


class FeedForward(nn.Module):
    """Gated: its first half times GELU of the second; inner width int(8 / 3 of the width)."""

    def __init__(self, width: int):
        super().__init__()
        inner = int(4 * 2 / 3 * width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.up(self.norm(x)).chunk(2, dim=-1)
        out: Tensor = self.down(value * F.gelu(gate))
        return out


class Layer(nn.Module):
    """A convolution that tells where a token is, attention, feed-forward; each is added."""

    def __init__(self, config: CTViTConfig):
        super().__init__()
        self.position = nn.Conv3d(config.width, config.width, 3, groups=config.width)
        self.attention = Attention(config)
        self.feed_forward = FeedForward(config.width)

    def forward(self, x: Tensor, shape: tuple[int, ...], bias: Tensor | None) -> Tensor:
        """Add what each part finds.

        Parameters
        ----------
        x : Tensor, shape (rows, tokens, C)
        shape : tuple of int
            (B, t, h, w) of all tokens.
        bias : Tensor, shape (1, heads, tokens, tokens), optional
            Added to the products of queries and keys.
        """
        x = x + self._position(x, shape)
        x = x + self.attention(x, bias)
        out: Tensor = x + self.feed_forward(x)
        return out

    def _position(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Lay the tokens out as (B, t, h, w) whatever their order.

        Along the depth they are ordered (B, h, w, t), and the authors' code lays them out as here
        all the same: the convolution then mixes tokens that are no neighbours. Trained weights
        expect it.
        """
        grid = x.reshape(*shape, x.shape[-1]).movedim(-1, 1)
        out: Tensor = self.position(F.pad(grid, (1, 1, 1, 1, 2, 0)))
        return out.movedim(1, -1).reshape(x.shape)


class Transformer(nn.Module):
    """Layers and a last norm; see `Layer.forward`."""

    def __init__(self, config: CTViTConfig, layers: int):
        super().__init__()
        self.layers = nn.ModuleList(Layer(config) for _ in range(layers))
        self.norm = nn.LayerNorm(config.width)

    def forward(self, x: Tensor, shape: tuple[int, ...], bias: Tensor | None = None) -> Tensor:
        """Run all layers, as `Layer.forward` runs one."""
        for layer in self.layers:
            x = layer(x, shape, bias)
        out: Tensor = self.norm(x)
        return out


class CTViT(nn.Module):
    """Volumes (B, 1, D, H, W) in [0, 1] -> one hidden state (B, t h w, C) of codebook vectors."""

    def __init__(self, config: CTViTConfig):
        super().__init__()
        self.config = config
        numbers = config.slab * prod(config.patch)
        self.patch_embedding = nn.Sequential(
            nn.LayerNorm(numbers), nn.Linear(numbers, config.width), nn.LayerNorm(config.width)
        )
        self.position_bias = position_bias(config)
        self.spatial = Transformer(config, config.spatial_layers)
        self.temporal = Transformer(config, config.temporal_layers)
        self.codebook = nn.Parameter(torch.randn(config.codebook, config.width))

    def forward(self, volume: Tensor) -> list[Tensor]:
        tokens = self.continuous(self.embed_patches(2 * volume - 1))
        parts = torch.split(tokens.flatten(0, 1), ROWS)
        nearest = torch.cat([self.nearest(part) for part in parts])
        return [self.codebook[nearest].view(tokens.shape)]

    def embed_patches(self, volume: Tensor) -> Tensor:
        """(B, 1, D, H, W) in [-1, 1] -> (B, t, h, w, C)."""
        slab, (h, w) = self.config.slab, self.config.patch
        cut = volume[:, 0].unfold(1, slab, slab).unfold(2, h, h).unfold(3, w, w)
        embedded: Tensor = self.patch_embedding(cut.flatten(4))
        return embedded

    def continuous(self, patches: Tensor) -> Tensor:
        """(B, t, h, w, C) -> (B, t h w, C) before the codebook."""
        b, t, h, w, c = patches.shape
        shape = (b, t, h, w)
        bias = self.position_bias(log_distances(h, w, patches.device)).movedim(-1, 0)
        in_slabs = self.spatial(patches.reshape(b * t, h * w, c), shape, bias[None])
        columns = in_slabs.view(b, t, h * w, c).transpose(1, 2).reshape(b * h * w, t, c)
        deep: Tensor = self.temporal(columns, shape)
        return deep.view(b, h * w, t, c).transpose(1, 2).reshape(b, t * h * w, c)

    def nearest(self, tokens: Tensor) -> Tensor:
        """Index of the codebook's vector of the most similar direction: (n, C) -> (n)."""
        similar = F.normalize(tokens, dim=-1) @ F.normalize(self.codebook, dim=-1).T
        return similar.argmax(dim=-1)
