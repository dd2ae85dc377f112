"""Stage 1: image and text encoder under the SigLIP or CLIP loss (paper, section 3.2, table 8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import InstanceOf
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.distilbert import DistilBertConfig, DistilBertModel

from engine.network.towers.vision import VisionConfig, pooled, vision_tower

Loss = Literal["siglip", "clip"]


@dataclass(frozen=True, config={"extra": "forbid"})
class ContrastiveConfig:
    """What a `ContrastivePair` is made of; see there."""

    vision: VisionConfig
    text: InstanceOf[DistilBertConfig]
    width: int = 768
    loss: Loss = "siglip"


class ContrastivePair(nn.Module):
    """Image and text encoder with a linear head each; names of the published `dec_clip` layout.

    Parameters
    ----------
    vision : VisionConfig
        The image encoder.
    text : DistilBertConfig
        The text encoder (ClinicalBERT is a DistilBERT).
    width : int
        Width of the shared space.
    loss : {"siglip", "clip"}
        Under "siglip" the pair learns `t_prime` and `bias`, under "clip" `logit_scale`.
    """

    def __init__(
        self,
        vision: VisionConfig,
        text: DistilBertConfig,
        width: int = 768,
        loss: Loss = "siglip",
    ):
        super().__init__()
        self.vision_encoder = vision_tower(vision)
        self.language_encoder = DistilBertModel(text)
        self.mm_vision_proj = nn.Linear(vision.shapes[-1][1], width)
        self.mm_language_proj = nn.Linear(text.dim, width)
        self.loss = loss
        if loss == "siglip":
            # SigLIP's start; the authors' code starts at log(1/0.07) and 0
            self.t_prime = nn.Parameter(torch.tensor(10.0).log())
            self.bias = nn.Parameter(torch.tensor(-10.0))
        else:
            self.logit_scale = nn.Parameter(torch.tensor(1 / 0.07).log())

    @property
    def config(self) -> ContrastiveConfig:
        """Sizes, as a checkpoint describes them."""
        text: DistilBertConfig = self.language_encoder.config
        width = self.mm_vision_proj.out_features
        return ContrastiveConfig(self.vision_encoder.config, text, width, self.loss)

    @property
    def scalars(self) -> tuple[Tensor, ...]:
        """What its loss takes beside images and texts."""
        return (self.t_prime, self.bias) if self.loss == "siglip" else (self.logit_scale,)

    @property
    def text_tokens(self) -> int:
        """The most that a text may have; longer ones are cut."""
        return int(self.language_encoder.config.max_position_embeddings)

    def as_read(self, text: str) -> str:
        """A text as the encoder was trained to read it."""
        return text

    def encode_image(self, volume: Tensor) -> Tensor:
        """(B, 1, D, H, W) -> (B, width), unit length."""
        features = pooled(self.vision_encoder(volume)[-1], self.vision_encoder.config)
        return F.normalize(self.mm_vision_proj(features), dim=-1)

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, n), (B, n) -> (B, width), unit length: token 0."""
        hidden = self.language_encoder(input_ids, attention_mask).last_hidden_state[:, 0]
        return F.normalize(self.mm_language_proj(hidden), dim=-1)

    def forward(
        self,
        volume: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor,
        loss: Callable[..., Tensor] | None = None,
    ) -> Tensor:
        """Return the loss of a batch of pairs.

        Parameters
        ----------
        volume : Tensor, shape (B, 1, D, H, W)
        input_ids, attention_mask : Tensor, shape (B, n)
        loss : callable, optional
            Takes the place of `siglip_loss` or `clip_loss`, with the same arguments: training on
            several processes has the other processes' texts in it.
        """
        images, texts = self.encode_image(volume), self.encode_text(input_ids, attention_mask)
        own = siglip_loss if self.loss == "siglip" else clip_loss
        return (loss or own)(images, texts, *self.scalars)


def pair_without_weights(config: ContrastiveConfig) -> ContrastivePair:
    """Build a pair with parameters that hold no memory, for `checkpoints.weights.assemble`."""
    with torch.device("meta"):
        pair = ContrastivePair(config.vision, config.text, config.width, config.loss)
    _compute_positions(pair.language_encoder)
    return pair


def distilbert_without_weights(config: DistilBertConfig) -> DistilBertModel:
    """Build a text encoder with parameters that hold no memory."""
    with torch.device("meta"):
        encoder = DistilBertModel(config)
    _compute_positions(encoder)
    return encoder


def _compute_positions(encoder: DistilBertModel) -> None:
    """Give an encoder what is in no checkpoint."""
    positions = torch.arange(encoder.config.max_position_embeddings)[None]
    encoder.embeddings.register_buffer("position_ids", positions, persistent=False)


def siglip_loss(images: Tensor, texts: Tensor, t_prime: Tensor, bias: Tensor) -> Tensor:
    """Sum over texts, mean over images, of softplus(-z (exp(t') x·y + b)).

    Parameters
    ----------
    images, texts : Tensor, shape (n, width)
        Unit vectors; row i of both belongs together (z = +1), every other pair does not (z = -1).
    t_prime, bias : Tensor, shape ()
        Logarithm of the temperature, and the bias.

    Notes
    -----
    Equation 5 of the paper prints z in {0, 1} and the other sign of b; this is SigLIP's form, which
    the published weights follow.
    """
    matches = 2 * torch.eye(len(images), dtype=images.dtype, device=images.device) - 1
    return pairwise_sigmoid_loss(images @ texts.T, matches, t_prime, bias)


def pairwise_sigmoid_loss(
    similarity: Tensor, matches: Tensor, t_prime: Tensor, bias: Tensor
) -> Tensor:
    """Score every image against every text by whether they match.

    Parameters
    ----------
    t_prime, bias : Tensor
        Logarithm of what similarities are multiplied by, and what is added then.
    similarity : Tensor, shape (images, texts)
        Cosine similarities.
    matches : Tensor, shape (images, texts)
        +1 where the text is true of the image, -1 where it is not, 0 where it does not count.
    """
    logits = t_prime.exp() * similarity + bias
    return (F.softplus(-matches * logits) * matches.abs()).sum(dim=1).mean()


def clip_loss(images: Tensor, texts: Tensor, logit_scale: Tensor) -> Tensor:
    """Mean over both directions of the cross-entropy of exp(logit_scale) x·y.

    Parameters
    ----------
    images, texts : Tensor, shape (n, width)
        Unit vectors; row i of both belongs together.
    logit_scale : Tensor, shape ()
        Logarithm of the inverse temperature. The authors' code, as M3D-CLIP's, leaves out the
        exponential: a value that was trained there comes in as its logarithm.
    """
    logits = logit_scale.exp() * images @ texts.T
    own = torch.arange(len(images), device=images.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
