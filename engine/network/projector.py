"""Projectors from vision tower to language model (paper, section 3.3, figure 1 and table 9).

Module names are those of the authors' weights.
"""

from __future__ import annotations

from typing import Literal

from pydantic.dataclasses import dataclass
from torch import Tensor, cat, nn

Kind = Literal["mixer", "low_high_mlp", "mlp", "linear"]
"""As `mm_projector_type` of the authors' config.json."""


@dataclass(frozen=True, config={"extra": "forbid"})
class StreamConfig:
    """One stream: image tokens of one stage of the vision tower.

    Parameters
    ----------
    tokens, channels : int
        What comes in.
    mixed_tokens : tuple of int
        Tokens after each mixer layer; the last is what the language model sees.
    """

    tokens: int
    channels: int
    mixed_tokens: tuple[int, ...] = ()


@dataclass(frozen=True, config={"extra": "forbid"})
class ProjectorConfig:
    """Both streams, the width of the language model, and what lies between them.

    Parameters
    ----------
    low, high : StreamConfig
        The last stage of the vision tower but one, and the last.
    width : int
        Of the language model.
    kind : {"mixer", "low_high_mlp", "mlp", "linear"}
        The paper's 1×Mixer-H and 2×Mixer-H (by the length of `mixed_tokens`), 2×MLP-H, 2×MLP, and
        one linear map. The two last see the high stream alone.
    """

    low: StreamConfig
    high: StreamConfig
    width: int
    kind: Kind = "mixer"

    @property
    def hierarchical(self) -> bool:
        """Whether both streams are read: "H" in the paper."""
        return self.kind in ("mixer", "low_high_mlp")

    @property
    def image_tokens(self) -> int:
        if self.kind == "mixer":
            return self.low.mixed_tokens[-1] + self.high.mixed_tokens[-1]
        return self.high.tokens + (self.low.tokens if self.hierarchical else 0)


PUBLISHED = ProjectorConfig(
    low=StreamConfig(256, 384, (192, 128)), high=StreamConfig(32, 768, (64, 128)), width=3584
)
"""256 image tokens of 3584 from DCFormer-small at full input size."""


def projector(config: ProjectorConfig) -> nn.Module:
    """Build a projector; it takes the low and the high stream, or the high one alone."""
    if config.kind == "linear":
        return nn.Linear(config.high.channels, config.width)
    if config.kind == "mlp":
        return MLP(config.high.channels, config.width)
    return LowHighMLP(config) if config.kind == "low_high_mlp" else DualStreamMixer(config)


class MLP(nn.Module):
    """Linear, GELU, Linear on the last axis: 2×MLP, and the parts of a mixer layer."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.mm_projector = nn.Sequential(
            nn.Linear(n_in, n_out), nn.Sequential(nn.GELU(), nn.Linear(n_out, n_out))
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.mm_projector(x)
        return out


class LowHighMLP(nn.Module):
    """2×MLP-H: a linear map of each stream, then GELU and Linear on both."""

    def __init__(self, config: ProjectorConfig):
        super().__init__()
        self.low_up_mlp = nn.Linear(config.low.channels, config.width)
        self.high_up_mlp = nn.Linear(config.high.channels, config.width)
        self.mm_projector = nn.Sequential(nn.GELU(), nn.Linear(config.width, config.width))

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """(B, n_low, d_low), (B, n_high, d_high) -> (B, n_low + n_high, width), low first."""
        both = cat([self.low_up_mlp(low), self.high_up_mlp(high)], dim=1)
        image_tokens: Tensor = self.mm_projector(both)
        return image_tokens


class MixerLayer(nn.Module):
    """Mix tokens, then channels (equations 7, 8): (B, n, d) -> (B, n', d'). No skip connection.

    Parameters
    ----------
    tokens, channels : int
        n and d.
    tokens_out, channels_out : int
        n' and d'.
    """

    def __init__(self, tokens: int, channels: int, tokens_out: int, channels_out: int):
        super().__init__()
        self.ln1 = nn.LayerNorm(channels)
        self.mlp1 = MLP(tokens, tokens_out)
        self.ln2 = nn.LayerNorm(channels)
        self.mlp2 = MLP(channels, channels_out)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mlp1(self.ln1(x).mT).mT
        out: Tensor = self.mlp2(self.ln2(x))
        return out


def mixer(stream: StreamConfig, width: int) -> nn.Sequential:
    """Stack the layers of one stream; channels double from layer to layer and end at `width`."""
    layers = []
    n, d = stream.tokens, stream.channels
    for left, n_out in zip(
        reversed(range(len(stream.mixed_tokens))), stream.mixed_tokens, strict=True
    ):
        d_out = width // 2**left
        layers.append(MixerLayer(n, d, n_out, d_out))
        n, d = n_out, d_out
    return nn.Sequential(*layers)


class DualStreamMixer(nn.Module):
    """1×Mixer-H, 2×Mixer-H: each stream through mixer layers of its own."""

    def __init__(self, config: ProjectorConfig):
        super().__init__()
        self.low_mixer = mixer(config.low, config.width)
        self.high_mixer = mixer(config.high, config.width)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """(B, n_low, d_low), (B, n_high, d_high) -> (B, image tokens, width), low first."""
        return cat([self.low_mixer(low), self.high_mixer(high)], dim=1)
