"""The two vision transformers that the paper compares with; both are called ViT3D there.

`ViT3D` is M3D-LaMed's (MONAI's `ViT`), `AblationViT3D` the one in the authors' code. Module names
are those of their weights.
"""

from __future__ import annotations

from math import prod

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, config={"extra": "forbid"})
class ViT3DConfig:
    """Sizes of M3D-LaMed's vision tower.

    Parameters
    ----------
    input_size, patch : tuple of int
        (D, H, W) of the volume and of a patch, which divides it.
    width, layers, heads : int
    unused_norms : bool
        Whether each block carries `norm_cross_attn`, which MONAI has added since 1.4 and which
        nothing reads. The published weights do not have it.
    """

    input_size: tuple[int, int, int] = (32, 256, 256)
    patch: tuple[int, int, int] = (4, 16, 16)
    width: int = 768
    layers: int = 12
    heads: int = 12
    unused_norms: bool = False

    def __post_init__(self) -> None:
        _require_whole_patches(self.input_size, self.patch)

    @property
    def grid(self) -> tuple[int, int, int]:
        """Patches along D, H and W."""
        d, h, w = (n // p for n, p in zip(self.input_size, self.patch, strict=True))
        return d, h, w

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(tokens, channels) of each hidden state."""
        return ((1 + prod(self.grid), self.width),) * (self.layers + 1)


@dataclass(frozen=True, config={"extra": "forbid"})
class AblationViT3DConfig:
    """Sizes of the ViT3D in the authors' ablation code.

    Parameters
    ----------
    input_size : tuple of int
        (D, H, W) of the volume.
    patch : int
        Side of a cubic patch. The authors' code never sets another than 32.
    width, layers, heads, head_width : int
    feed_forward : int
        Hidden width of the feed-forward. 4 in the authors' code, where a ratio was meant.
    """

    input_size: tuple[int, int, int] = (128, 256, 256)
    patch: int = 32
    width: int = 768
    layers: int = 12
    heads: int = 8
    head_width: int = 64
    feed_forward: int = 4

    def __post_init__(self) -> None:
        _require_whole_patches(self.input_size, (self.patch,) * 3)

    @property
    def grid(self) -> tuple[int, int, int]:
        """Patches along D, H and W."""
        d, h, w = (n // self.patch for n in self.input_size)
        return d, h, w

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(tokens, channels) of each hidden state."""
        return ((prod(self.grid), self.width),) * self.layers


NO_LAG = (0.0, 0.0, 0.0)
"""A patch looks at the middle of its share."""


def _require_whole_patches(size: tuple[int, int, int], patch: tuple[int, int, int]) -> None:
    if any(n % p for n, p in zip(size, patch, strict=True)):
        raise ValueError(f"an input of {size} cannot be cut into patches of {patch}")


def patches(volume: Tensor, patch: tuple[int, int, int]) -> Tensor:
    """(B, C, d·p, h·q, w·r) -> (B, d·h·w, p·q·r·C), the last axis of the volume fastest."""
    b, c, depth, height, width = volume.shape
    p, q, r = patch
    x = volume.reshape(b, c, depth // p, p, height // q, q, width // r, r)
    return x.permute(0, 2, 4, 6, 3, 5, 7, 1).flatten(4).flatten(1, 3)


def attend(qkv: Tensor, heads: int) -> Tensor:
    """Self-attention of queries, keys and values side by side: (B, n, 3·w) -> (B, n, w)."""
    b, n, _ = qkv.shape
    q, k, v = qkv.reshape(b, n, 3, heads, -1).permute(2, 0, 3, 1, 4)  # (B, heads, n, w / heads)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class PatchEmbedding(nn.Module):
    """One linear map of each patch, plus its learned position."""

    def __init__(self, config: ViT3DConfig):
        super().__init__()
        self.patch = config.patch
        self.patch_embeddings = nn.Sequential(
            nn.Identity(),  # MONAI's rearrangement holds this place in the names
            nn.Linear(prod(config.patch), config.width),
        )
        positions = torch.empty(1, prod(config.grid), config.width)
        self.position_embeddings = nn.Parameter(nn.init.trunc_normal_(positions, std=0.02))

    def forward(self, volume: Tensor) -> Tensor:
        """(B, 1, D, H, W) -> (B, patches, width)."""
        embedded: Tensor = self.patch_embeddings(patches(volume, self.patch))
        return embedded + self.position_embeddings


class Attention(nn.Module):
    """Multi-head self-attention; no bias on queries, keys and values."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out_proj(attend(self.qkv(x), self.heads))
        return out


class FeedForward(nn.Module):
    """Linear, GELU, Linear; expansion 4."""

    def __init__(self, width: int):
        super().__init__()
        self.linear1 = nn.Linear(width, 4 * width)
        self.linear2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear2(F.gelu(self.linear1(x)))
        return out


class TransformerBlock(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x)): (B, n, width) -> the same."""

    def __init__(self, config: ViT3DConfig):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width)
        self.attn = Attention(config.width, config.heads)
        self.norm2 = nn.LayerNorm(config.width)
        self.mlp = FeedForward(config.width)
        if config.unused_norms:
            self.norm_cross_attn = nn.LayerNorm(config.width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class ViT3D(nn.Module):
    """M3D-LaMed's vision tower: 87.4 M parameters at its published sizes."""

    lag = NO_LAG

    def __init__(self, config: ViT3DConfig):
        super().__init__()
        self.config = config
        self.patch_embedding = PatchEmbedding(config)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.blocks = nn.ModuleList(TransformerBlock(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)

    def forward(self, volume: Tensor) -> list[Tensor]:
        """Encode volumes.

        Parameters
        ----------
        volume : Tensor, shape (B, 1, D, H, W)
            Values in [0, 1].

        Returns
        -------
        list of Tensor
            Of each block, and of the last one normalised: (B, 1 + patches, width), the class token
            first, then the patches in D, H, W order.
        """
        return self.from_grid(self.to_grid(volume))

    def to_grid(self, volume: Tensor) -> Tensor:
        """(B, 1, D, H, W) -> embedded patches with their positions, (B, D', H', W', width)."""
        embedded: Tensor = self.patch_embedding(volume)
        return embedded.view(len(volume), *self.config.grid, -1)

    def from_grid(self, x: Tensor) -> list[Tensor]:
        """Embedded patches -> what `forward` gives."""
        x = x.flatten(1, 3)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)
        hidden_states = []
        for block in self.blocks:
            x = block(x)
            hidden_states.append(x)
        return [*hidden_states, self.norm(x)]


class AblationAttention(nn.Module):
    """Norm, then multi-head self-attention whose heads need not add up to the width."""

    def __init__(self, config: AblationViT3DConfig):
        super().__init__()
        inner = config.heads * config.head_width
        self.heads = config.heads
        self.norm = nn.LayerNorm(config.width)
        self.to_qkv = nn.Linear(config.width, 3 * inner, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, config.width))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.to_out(attend(self.to_qkv(self.norm(x)), self.heads))
        return out


class AblationFeedForward(nn.Module):
    """Norm, Linear, GELU, Linear."""

    def __init__(self, config: AblationViT3DConfig):
        super().__init__()
        self.net = nn.Sequential(
            nn.LayerNorm(config.width),
            nn.Linear(config.width, config.feed_forward),
            nn.GELU(),
            nn.Identity(),  # the authors' dropout of rate 0 holds this place in the names
            nn.Linear(config.feed_forward, config.width),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out


class AblationLayer(nn.ModuleList):
    """x + attention(x), then x + feed-forward(x): (B, n, width) -> the same."""

    def __init__(self, config: AblationViT3DConfig):
        super().__init__([AblationAttention(config), AblationFeedForward(config)])

    def forward(self, x: Tensor) -> Tensor:
        for part in self:
            x = x + part(x)
        return x


class AblationTransformer(nn.Module):
    """A stack of layers."""

    def __init__(self, config: AblationViT3DConfig):
        super().__init__()
        self.layers = nn.ModuleList(AblationLayer(config) for _ in range(config.layers))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, n, width) -> the same from each layer."""
        hidden_states = []
        for layer in self.layers:
            x = layer(x)
            hidden_states.append(x)
        return hidden_states


class AblationEncoder(nn.Module):
    """Cubic patches between two norms, a class token, and the transformer."""

    def __init__(self, config: AblationViT3DConfig):
        super().__init__()
        self.patch = config.patch
        self.to_patch_embedding = nn.Sequential(
            nn.Identity(),  # the authors' rearrangement holds this place in the names
            nn.LayerNorm(config.patch**3),
            nn.Linear(config.patch**3, config.width),
            nn.LayerNorm(config.width),
        )
        self.pos_embedding = nn.Parameter(torch.randn(1, prod(config.grid) + 1, config.width))
        self.cls_token = nn.Parameter(torch.randn(1, 1, config.width))
        self.transformer = AblationTransformer(config)

    def embed(self, volume: Tensor) -> Tensor:
        """(B, 1, H, W, D) -> embedded patches without their positions, (B, n, width)."""
        embedded: Tensor = self.to_patch_embedding(patches(volume, (self.patch,) * 3))
        return embedded

    def forward(self, x: Tensor) -> list[Tensor]:
        """Embedded patches -> of each layer, without class token (B, n, width)."""
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embedding
        return [hidden[:, 1:] for hidden in self.transformer(x)]


class AblationViT3D(nn.Module):
    """The ViT3D of the authors' code: 44.4 M parameters at width 768 and 12 layers."""

    lag = NO_LAG

    def __init__(self, config: AblationViT3DConfig):
        super().__init__()
        self.config = config
        self.encoder = AblationEncoder(config)

    def forward(self, volume: Tensor) -> list[Tensor]:
        """Encode volumes.

        Parameters
        ----------
        volume : Tensor, shape (B, 1, D, H, W)
            Values in [0, 1].

        Returns
        -------
        list of Tensor
            Of each layer: (B, patches, width), in D, H, W order. No final norm.
        """
        return self.from_grid(self.to_grid(volume))

    def to_grid(self, volume: Tensor) -> Tensor:
        """(B, 1, D, H, W) -> embedded patches, (B, D', H', W', width)."""
        return self._in_order(self.encoder.embed(volume.permute(0, 1, 3, 4, 2)))

    def from_grid(self, x: Tensor) -> list[Tensor]:
        """Embedded patches -> what `forward` gives."""
        hidden_states = self.encoder(x.movedim(1, 3).flatten(1, 3))
        return [self._in_order(one).flatten(1, 3) for one in hidden_states]

    def _in_order(self, x: Tensor) -> Tensor:
        """(B, n, width) in the order H, W, D, as the network sees it -> (B, D', H', W', width)."""
        d, h, w = self.config.grid
        return x.reshape(len(x), h, w, d, -1).movedim(3, 1)
