"""NV-Reason-CT's vision tower: Primus-M, a transformer over cubes of 8 voxels.

Module names are those of the published weights, without their prefix.
"""

from __future__ import annotations

from math import prod

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from engine.network.towers.vit3d import NO_LAG

ROTARY_BASE = 10_000.0


@dataclass(frozen=True, config={"extra": "forbid"})
class PrimusConfig:
    """Sizes.

    Parameters
    ----------
    input_size : tuple of int
        (D, H, W) of the volume.
    patch : int
        Side of a cube that becomes a token.
    width, layers, heads : int
    mlp : int
        Inner width of the gated MLP.
    """

    input_size: tuple[int, int, int] = (192, 192, 192)
    patch: int = 8
    width: int = 864
    layers: int = 16
    heads: int = 12
    mlp: int = 2304

    def __post_init__(self) -> None:
        if any(n % self.patch for n in self.input_size):
            raise ValueError(f"patches of {self.patch} do not fill {self.input_size}")
        if self.width % self.heads or (self.width // self.heads) % 6:
            raise ValueError("the width of a head must be a multiple of 6: pairs along three axes")

    @property
    def grid(self) -> tuple[int, int, int]:
        """Patches along D, H and W."""
        d, h, w = (n // self.patch for n in self.input_size)
        return d, h, w

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(tokens, channels) of each hidden state."""
        return ((prod(self.grid), self.width),)


def rotary_angles(grid: tuple[int, int, int], head: int) -> Tensor:
    """Angles (tokens, head / 2): a third for each axis, by the patch's index along it."""
    steps = head // 6
    frequencies = ROTARY_BASE ** -(torch.arange(steps, dtype=torch.float32) / steps)
    indices = torch.cartesian_prod(*(torch.arange(n) for n in grid)).float()
    return (indices[:, :, None] * frequencies).flatten(1)


def rotated(x: Tensor, angles: Tensor) -> Tensor:
    """Turn neighbouring channels, a pair each: (…, tokens, head) by (tokens, head / 2)."""
    even, odd = x[..., 0::2], x[..., 1::2]
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([even * cos - odd * sin, odd * cos + even * sin], dim=-1).flatten(-2)


class Attention(nn.Module):
    """Full attention, normalised once more before its projection; keys have no bias."""

    def __init__(self, config: PrimusConfig):
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, angles: Tensor) -> Tensor:
        q, k, v = (
            project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        y = F.scaled_dot_product_attention(rotated(q, angles), rotated(k, angles), v)
        out: Tensor = self.proj(self.norm(y.transpose(1, 2).flatten(2)))
        return out


class GatedMLP(nn.Module):
    """SiLU-gated, normalised inside (Shazeer 2020)."""

    def __init__(self, config: PrimusConfig):
        super().__init__()
        self.fc1_g = nn.Linear(config.width, config.mlp)
        self.fc1_x = nn.Linear(config.width, config.mlp)
        self.norm = nn.LayerNorm(config.mlp)
        self.fc2 = nn.Linear(config.mlp, config.width)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc2(self.norm(F.silu(self.fc1_g(x)) * self.fc1_x(x)))
        return y


class Block(nn.Module):
    """Attention and MLP, each scaled by a learned gain for every channel."""

    def __init__(self, config: PrimusConfig):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width)
        self.attn = Attention(config)
        self.gamma_1 = nn.Parameter(torch.ones(config.width))
        self.norm2 = nn.LayerNorm(config.width)
        self.mlp = GatedMLP(config)
        self.gamma_2 = nn.Parameter(torch.ones(config.width))

    def forward(self, x: Tensor, angles: Tensor) -> Tensor:
        x = x + self.gamma_1 * self.attn(self.norm1(x), angles)
        out: Tensor = x + self.gamma_2 * self.mlp(self.norm2(x))
        return out


class Primus(nn.Module):
    """The tower; it has no class token and no absolute positions."""

    lag = NO_LAG

    def __init__(self, config: PrimusConfig):
        super().__init__()
        self.config = config
        self.down_projection = nn.Module()
        self.down_projection.proj = nn.Conv3d(1, config.width, config.patch, config.patch)
        self.eva = nn.Module()
        self.eva.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.eva.norm = nn.LayerNorm(config.width)

    def forward(self, volume: Tensor) -> list[Tensor]:
        """(B, 1, D, H, W) in [0, 1] -> tokens (B, d·h·w, width), W fastest."""
        return self.from_grid(self.to_grid(volume))

    def to_grid(self, volume: Tensor) -> Tensor:
        """(B, 1, D, H, W) -> embedded patches, (B, D', H', W', width)."""
        patches: Tensor = self.down_projection.get_submodule("proj")(2 * volume - 1)
        return patches.movedim(1, -1)

    def from_grid(self, x: Tensor) -> list[Tensor]:
        """Embedded patches -> what `forward` gives."""
        x = x.flatten(1, 3)
        config = self.config
        angles = rotary_angles(config.grid, config.width // config.heads).to(x.device)
        for block in self.eva.get_submodule("blocks").children():
            x = block(x, angles)
        features: Tensor = self.eva.get_submodule("norm")(x)
        return [features]


class Merger(nn.Module):
    """Tower to language model, token by token."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.linear_fc1 = nn.Linear(channels, channels)
        self.linear_fc2 = nn.Linear(channels, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, n, channels) -> (B, n, width)."""
        merged: Tensor = self.linear_fc2(F.gelu(self.linear_fc1(self.norm(x))))
        return merged
