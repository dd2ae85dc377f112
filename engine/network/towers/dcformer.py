"""DCFormer, the vision tower: decomposed 3D convolutions (paper, section 3.1 and figure 2).

Module names are those of the published weights, so that a checkpoint loads without renaming.
"""

from __future__ import annotations

from math import ceil, prod
from typing import Literal, cast

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, config={"extra": "forbid"})
class DCFormerConfig:
    """Sizes of a DCFormer.

    Parameters
    ----------
    blocks : tuple of int
        Blocks of stages 1 to 4. (The paper counts the stem as a fifth.)
    channels : tuple of int
        Channels of the stem and of stages 1 to 4.
    kernels : tuple of int
        Kernel length of stages 1 to 4.
    stem : {"decomposed", "patch"}
        "decomposed" is the paper's: one decomposed convolution of kernel 7 and stride 4, then
        `stem_refinements` of kernel 3. "patch" is one linear map of cubes of 4 voxels a side,
        which reads every voxel; the embedded model uses it.
    stem_refinements : int
        Decomposed convolutions of kernel 3 after the strided one.
    layer_scale : float
        Initial layer scale; 1e-6 in the paper's code.
    input_size : tuple of int
        (D, H, W) of the volume; the patch stem needs multiples of 4.
    """

    blocks: tuple[int, int, int, int] = (2, 3, 6, 2)
    channels: tuple[int, int, int, int, int] = (64, 96, 192, 384, 768)
    kernels: tuple[int, int, int, int] = (13, 11, 9, 7)
    stem: Literal["decomposed", "patch"] = "decomposed"
    stem_refinements: int = 3
    layer_scale: float = 1e-6
    input_size: tuple[int, int, int] = (128, 256, 256)

    def __post_init__(self) -> None:
        if self.stem == "patch" and any(size % 4 for size in self.input_size):
            raise ValueError(f"the patch stem needs multiples of 4, got {self.input_size}")

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(tokens, channels) of each hidden state."""
        return tuple((self.tokens(stage), c) for stage, c in enumerate(self.channels))

    def tokens(self, stage: int) -> int:
        """Return how many tokens a stage (0 is the stem) puts out."""
        return prod(ceil(size / (4 << stage)) for size in self.input_size)


VARIANTS = {
    "nano": DCFormerConfig((1, 1, 1, 1), (32, 32, 64, 128, 256)),
    "naive": DCFormerConfig((2, 2, 2, 2), (32, 64, 128, 256, 512)),
    "tiny": DCFormerConfig((2, 3, 3, 2), (64, 96, 192, 384, 768)),
    "small": DCFormerConfig((2, 3, 6, 2), (64, 96, 192, 384, 768)),
    "base": DCFormerConfig((2, 6, 6, 2), (64, 128, 256, 512, 1024)),
    "large": DCFormerConfig((2, 6, 12, 2), (64, 256, 512, 1024, 2048)),
}
"""The paper's variants at the paper's input size (table 9 and the authors' code)."""


class DecomposedConv(nn.Module):
    """Parallel 1D convolutions along H, W and D, each normalised, summed (equations 1 to 3).

    Parameters
    ----------
    c_in, c_out : int
        Channels before and after.
    kernel : int
        Length of each of the three kernels.
    stride : int
        Along every axis.
    groups : int
        Of channels; `c_in` of them make it depthwise.
    """

    def __init__(self, c_in: int, c_out: int, kernel: int, *, stride: int = 1, groups: int = 1):
        super().__init__()

        def along(axis: int) -> nn.Sequential:
            h, w, d = (kernel if axis == i else 1 for i in range(3))
            pad = (h // 2, w // 2, d // 2)
            conv = nn.Conv3d(c_in, c_out, (h, w, d), stride, pad, groups=groups)
            return nn.Sequential(conv, nn.BatchNorm3d(c_out))

        self.c1, self.c2, self.c3 = along(0), along(1), along(2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W, D) -> (B, C', H/stride, W/stride, D/stride)."""
        h, w, d = (
            norm(convolve_line(cast(nn.Conv3d, conv), x, axis))
            for axis, (conv, norm) in enumerate((self.c1, self.c2, self.c3))
        )
        out: Tensor = h + w + d
        return out


def convolve_line(conv: nn.Conv3d, x: Tensor, axis: int) -> Tensor:
    """Apply a convolution that runs along one axis.

    A depthwise one goes through the 2D kernel, the two other axes as one: on a CPU four times as
    fast as the 3D kernel, forward and backward.

    Parameters
    ----------
    conv : nn.Conv3d
        Its kernel is longer than one along `axis` only.
    x : Tensor, shape (B, C, D, H, W)
    axis : int
        0, 1 or 2: along D, H or W.
    """
    if conv.groups == 1:
        out: Tensor = conv(x)
        return out
    lines = x.movedim(2 + axis, 2)
    kernel = conv.weight.flatten(2)[..., None]
    padding = (kernel.shape[2] // 2, 0)
    flat = F.conv2d(lines.flatten(3), kernel, conv.bias, padding=padding, groups=conv.groups)
    return flat.view(lines.shape).movedim(2, 2 + axis)


class ChannelMLP(nn.Module):
    """Linear, GELU, Linear on the channel axis, expansion 4."""

    def __init__(self, channels: int):
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(channels, 4 * channels),
            nn.GELU(),
            nn.Identity(),  # the authors' dropout of rate 0 holds this place in the names
            nn.Linear(4 * channels, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W, D) -> the same."""
        out: Tensor = self.mlp(x.movedim(1, -1)).movedim(-1, 1)
        return out


class Block(nn.Module):
    """x + scale · MLP(decomposed depthwise convolution of x).

    Equation 4 of the paper leaves out the MLP and the layer scale; the published weights have them.
    The first block of a stage halves each axis before and changes the channels.

    Parameters
    ----------
    c_in, channels : int
        Channels before and after.
    kernel : int
        Length of each of the three kernels.
    layer_scale : float
        What the scale begins with.
    down : bool
        Whether each axis is halved before.
    """

    def __init__(self, c_in: int, channels: int, kernel: int, layer_scale: float, *, down: bool):
        super().__init__()
        self.pool = nn.MaxPool3d(3, 2, 1) if down else nn.Identity()
        self.proj = nn.Conv3d(c_in, channels, 1, bias=False) if down else nn.Identity()
        self.dwconv = DecomposedConv(channels, channels, kernel, groups=channels)
        self.mlp = ChannelMLP(channels)
        self.scale = nn.Parameter(torch.full((channels,), layer_scale))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W, D) -> (B, C', H/2, W/2, D/2) where it halves, else the same shape."""
        x = self.proj(self.pool(x))
        out: Tensor = x + self.scale[:, None, None, None] * self.mlp(self.dwconv(x))
        return out


class PatchStem(nn.Module):
    """Cut into cubes of 4 voxels a side, and map each to the channels: every voxel is read."""

    def __init__(self, channels: int):
        super().__init__()
        self.linear = nn.Linear(4**3, channels)
        self.norm = nn.BatchNorm3d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, H, W, D) -> (B, C, H/4, W/4, D/4)."""
        b, _, h, w, d = x.shape
        cubes = x.reshape(b, h // 4, 4, w // 4, 4, d // 4, 4).permute(0, 1, 3, 5, 2, 4, 6)
        out: Tensor = self.norm(self.linear(cubes.flatten(4)).movedim(-1, 1))
        return out


def stem(config: DCFormerConfig) -> nn.Module:
    """Build the first fourfold reduction. It holds no activation, as in the published weights."""
    c = config.channels[0]
    if config.stem == "patch":
        return PatchStem(c)
    layers = [DecomposedConv(1, c, 7, stride=4)]
    layers += [DecomposedConv(c, c, 3) for _ in range(config.stem_refinements)]
    return nn.Sequential(nn.Sequential(*layers))


class Encoder(nn.Module):
    """Stem and four stages."""

    def __init__(self, config: DCFormerConfig):
        super().__init__()
        self.s0 = stem(config)
        for stage, (blocks, kernel) in enumerate(
            zip(config.blocks, config.kernels, strict=True), start=1
        ):
            c_in, c = config.channels[stage - 1 : stage + 1]
            self.add_module(
                f"s{stage}",
                nn.Sequential(
                    *(
                        Block(c if i else c_in, c, kernel, config.layer_scale, down=i == 0)
                        for i in range(blocks)
                    )
                ),
            )

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 1, H, W, D) -> the output of the stem and of each stage, (B, C, H', W', D')."""
        outputs = []
        for stage in self.children():
            x = stage(x)
            outputs.append(x)
        return outputs


class DCFormer(nn.Module):
    """The vision tower.

    The network sees (H, W, D): its first kernel axis is H. Tokens are given back in D, H, W order.
    """

    def __init__(self, config: DCFormerConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)

    def forward(self, volume: Tensor) -> list[Tensor]:
        """Encode volumes.

        Parameters
        ----------
        volume : Tensor, shape (B, 1, D, H, W)
            Values in [0, 1].

        Returns
        -------
        list of Tensor
            Five hidden states (B, tokens, C): of the stem and of stages 1 to 4, D slowest.
        """
        maps = self.encoder(volume.permute(0, 1, 3, 4, 2))
        return [_tokens(m) for m in maps]

    @property
    def lag(self) -> tuple[float, float, float]:
        """How far before its middle a cell of stage 1 looks, in cells (`engine.judgement`)."""
        return (lag_of(self.config.stem),) * 3

    def to_grid(self, volume: Tensor) -> Tensor:
        """(B, 1, D, H, W) -> the map of stage 1, (B, D/8, H/8, W/8, C)."""
        stem, first, *_ = self.encoder.children()
        x: Tensor = first(stem(volume.permute(0, 1, 3, 4, 2)))
        return x.permute(0, 4, 2, 3, 1)

    def from_grid(self, x: Tensor) -> list[Tensor]:
        """Map of stage 1 -> the hidden states of the stages after it, (B, tokens, C)."""
        x, hidden_states = x.permute(0, 4, 2, 3, 1), []
        for stage in list(self.encoder.children())[2:]:
            x = stage(x)
            hidden_states.append(_tokens(x))
        return hidden_states


def lag_of(stem: str) -> float:
    """Say how far before the middle of its 8 voxels a cell of stage 1 looks, in cells.

    Pooling is centred on the first of its two cells of the stem. Of that cell's 4 voxels a
    convolution is centred on the first, and a patch between the second and the third.
    """
    looks_at = 1.5 if stem == "patch" else 0.0
    return (3.5 - looks_at) / 8


def _tokens(x: Tensor) -> Tensor:
    """(B, C, H, W, D) -> (B, tokens, C), D slowest."""
    return x.permute(0, 4, 2, 3, 1).flatten(1, 3)
