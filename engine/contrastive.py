"""Stage 1: DCFormer and a text encoder under the SigLIP loss (paper, section 3.2, equation 5)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.distilbert import DistilBertConfig, DistilBertModel

from engine.dcformer import DCFormer, DCFormerConfig


class ContrastivePair(nn.Module):
    """Image and text encoder with a linear head each; names of the published `dec_clip` layout.

    Parameters
    ----------
    vision : DCFormerConfig
        The image encoder.
    text : DistilBertConfig
        The text encoder (ClinicalBERT is a DistilBERT).
    width : int
        Width of the shared space.
    """

    def __init__(self, vision: DCFormerConfig, text: DistilBertConfig, width: int = 768):
        super().__init__()
        self.vision_encoder = DCFormer(vision)
        self.language_encoder = DistilBertModel(text)
        self.mm_vision_proj = nn.Linear(vision.channels[-1], width)
        self.mm_language_proj = nn.Linear(text.dim, width)
        # SigLIP's start; the authors' code starts at log(1/0.07) and 0
        self.t_prime = nn.Parameter(torch.tensor(10.0).log())
        self.bias = nn.Parameter(torch.tensor(-10.0))

    def encode_image(self, volume: Tensor) -> Tensor:
        """(B, 1, D, H, W) -> (B, width), unit length: the mean over the last stage's tokens."""
        features = self.vision_encoder(volume)[-1].mean(dim=1)
        return F.normalize(self.mm_vision_proj(features), dim=-1)

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, n), (B, n) -> (B, width), unit length: token 0."""
        hidden = self.language_encoder(input_ids, attention_mask).last_hidden_state[:, 0]
        return F.normalize(self.mm_language_proj(hidden), dim=-1)

    def forward(self, volume: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the SigLIP loss of a batch of pairs."""
        images, texts = self.encode_image(volume), self.encode_text(input_ids, attention_mask)
        return siglip_loss(images, texts, self.t_prime, self.bias)


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
    similarity : Tensor, shape (images, texts)
        Cosine similarities.
    matches : Tensor, shape (images, texts)
        +1 where the text is true of the image, -1 where it is not, 0 where it does not count.
    """
    logits = t_prime.exp() * similarity + bias
    return (F.softplus(-matches * logits) * matches.abs()).sum(dim=1).mean()
