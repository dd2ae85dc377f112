"""The dual-stream MLP-Mixer projector (paper, section 3.3 and figure 1; 2×Mixer-H of table 11).

Module names are those of the published weights.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, cat, nn


@dataclass(frozen=True)
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
    mixed_tokens: tuple[int, ...]


@dataclass(frozen=True)
class ProjectorConfig:
    """Both streams and the width of the language model."""

    low: StreamConfig
    high: StreamConfig
    width: int

    @property
    def image_tokens(self) -> int:
        return self.low.mixed_tokens[-1] + self.high.mixed_tokens[-1]


PUBLISHED = ProjectorConfig(
    low=StreamConfig(256, 384, (192, 128)), high=StreamConfig(32, 768, (64, 128)), width=3584
)
"""256 image tokens of 3584 from DCFormer-small at full input size."""


class MLP(nn.Module):
    """Linear, GELU, Linear on the last axis."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.mm_projector = nn.Sequential(
            nn.Linear(n_in, n_out), nn.Sequential(nn.GELU(), nn.Linear(n_out, n_out))
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.mm_projector(x)
        return out


class MixerLayer(nn.Module):
    """Mix tokens, then channels (equations 7, 8): (B, n, d) -> (B, n', d'). No skip connection."""

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
    """Stage 3 (low) and stage 4 (high) of the vision tower become image tokens."""

    def __init__(self, config: ProjectorConfig):
        super().__init__()
        self.low_mixer = mixer(config.low, config.width)
        self.high_mixer = mixer(config.high, config.width)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """(B, n_low, d_low), (B, n_high, d_high) -> (B, image tokens, width), low first."""
        return cat([self.low_mixer(low), self.high_mixer(high)], dim=1)
