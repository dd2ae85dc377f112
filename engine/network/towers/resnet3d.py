"""Merlin's vision tower: a ResNet-152 whose kernels were inflated to 3D.

Module names are those of the contrastive checkpoint, without its prefix.
"""

from __future__ import annotations

from math import prod

from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

EXPANSION = 4
"""A stage's width over that of its 3×3×3 convolutions (He 2015, section 4.1)."""

STRIDE = 32
"""Voxels from one feature to the next, along H and W; D is not strided by the stem: half of it."""


@dataclass(frozen=True, config={"extra": "forbid"})
class ResNet3DConfig:
    """Sizes.

    Parameters
    ----------
    input_size : tuple of int
        (D, H, W) of the volume.
    blocks : tuple of int
        Of the four stages.
    stem : int
        Width of the first convolution, and of the bottlenecks of the first stage.
    """

    input_size: tuple[int, int, int] = (160, 224, 224)
    blocks: tuple[int, int, int, int] = (3, 8, 36, 3)
    stem: int = 64

    @property
    def width(self) -> int:
        """Of the last feature map."""
        return 8 * self.stem * EXPANSION

    @property
    def grid(self) -> tuple[int, int, int]:
        """Features along D, H and W; each stride rounds up."""
        d, h, w = (-(-n // s) for n, s in zip(self.input_size, (16, STRIDE, STRIDE), strict=True))
        return d, h, w

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(tokens, channels) of the one hidden state."""
        return ((prod(self.grid), self.width),)


class Bottleneck(nn.Module):
    """1×1×1, 3×3×3, 1×1×1 around a shortcut (He 2015, figure 5).

    Parameters
    ----------
    channels : int
        That come in.
    width : int
        Inside; `EXPANSION` times as many go out.
    stride : int
        Of the middle convolution.
    """

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        out = width * EXPANSION
        self.conv1 = nn.Conv3d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = nn.Conv3d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(width)
        self.conv3 = nn.Conv3d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(out)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or channels != out:
            shortcut = nn.Conv3d(channels, out, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm3d(out))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class ResNet3D(nn.Module):
    """The tower up to its last feature map."""

    lag = (0.5 / 2, 1.5 / 4, 1.5 / 4)
    """Strides are centred on the first voxel of a cell, of 2 along D and 4 along H and W."""

    def __init__(self, config: ResNet3DConfig):
        super().__init__()
        self.config = config
        stem = config.stem
        self.conv1 = nn.Conv3d(3, stem, (3, 7, 7), (1, 2, 2), padding=(1, 3, 3), bias=False)
        self.bn1 = nn.BatchNorm3d(stem)
        self.maxpool = nn.MaxPool3d(3, 2, padding=1)
        channels = stem
        for stage, count in enumerate(config.blocks):
            width = stem * 2**stage
            first = Bottleneck(channels, width, 1 if stage == 0 else 2)
            channels = width * EXPANSION
            rest = (Bottleneck(channels, width, 1) for _ in range(count - 1))
            self.add_module(f"layer{stage + 1}", nn.Sequential(first, *rest))

    def forward(self, volume: Tensor) -> list[Tensor]:
        """(B, 1, D, H, W) -> the last feature map as tokens (B, d·h·w, width), in D, H, W order."""
        return self.from_grid(self.to_grid(volume))

    def to_grid(self, volume: Tensor) -> Tensor:
        """(B, 1, D, H, W) -> the map of the first stage, (B, D/2, H/4, W/4, C)."""
        x = volume.expand(-1, 3, -1, -1, -1)  # the three colours that the 2D weights knew
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        first: Tensor = self.get_submodule("layer1")(x)
        return first.movedim(1, -1)

    def from_grid(self, x: Tensor) -> list[Tensor]:
        """Map of the first stage -> what `forward` gives."""
        x = x.movedim(-1, 1)
        for stage in range(1, len(self.config.blocks)):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        return [x.flatten(2).mT]
