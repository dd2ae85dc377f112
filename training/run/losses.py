"""The contrastive losses of a batch that lies on several ranks.

`engine.network.contrastive` is the definition. Each rank gets the loss of its own images; the mean
over ranks is the loss of the whole batch, and so are the gradients.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from engine.network.contrastive import pairwise_sigmoid_loss, siglip_loss
from training.run.ranks import gathered, passed_on, rank, world


def ring_siglip_loss(images: Tensor, texts: Tensor, t_prime: Tensor, bias: Tensor) -> Tensor:
    """`siglip_loss` of this rank's images against the texts of all ranks, in float32.

    Texts go around the ring, in the backward pass once more with their gradient, which is
    complete when they are home. So a rank holds one other rank's texts at a time, however many
    ranks there are.

    Parameters
    ----------
    images, texts : Tensor, shape (n, width)
        Unit vectors; row i of both belongs together.
    t_prime, bias : Tensor, shape ()
        Logarithm of the temperature, and the bias.
    """
    with torch.autocast(images.device.type, enabled=False):
        arguments = images.float(), texts.float(), t_prime, bias
        loss: Tensor = _RingSigLIP.apply(*arguments)  # type: ignore[no-untyped-call]
    return loss


def shared_clip_loss(images: Tensor, texts: Tensor, logit_scale: Tensor) -> Tensor:
    """`clip_loss` of this rank's images and texts against those of all ranks, in float32.

    Parameters
    ----------
    images, texts : Tensor, shape (n, width)
        Unit vectors; row i of both belongs together.
    logit_scale : Tensor, shape ()
        Logarithm of the scale.
    """
    with torch.autocast(images.device.type, enabled=False):
        images, texts = images.float(), texts.float()
        own = rank() * len(images) + torch.arange(len(images), device=images.device)
        scale = logit_scale.exp()
        to_texts = F.cross_entropy(scale * images @ gathered(texts).T, own)
        to_images = F.cross_entropy(scale * texts @ gathered(images).T, own)
        return (to_texts + to_images) / 2


class _RingSigLIP(Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, texts: Tensor, t_prime: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(images, texts, t_prime, bias)
        loss = images.new_zeros(())
        for hop in range(world()):
            loss += _part(hop, images, texts, t_prime, bias)
            if hop < world() - 1:
                (texts,) = passed_on([texts])
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        images, texts, t_prime, bias = ctx.saved_tensors
        d_images, d_t, d_bias = (torch.zeros_like(x) for x in (images, t_prime, bias))
        d_texts = torch.zeros_like(texts)
        for hop in range(world()):
            with torch.enable_grad():
                leaves = [x.detach().requires_grad_() for x in (images, texts, t_prime, bias)]
                parts = torch.autograd.grad(_part(hop, *leaves), leaves, gradients[0])
            for so_far, part in zip((d_images, d_texts, d_t, d_bias), parts, strict=True):
                so_far += part
            texts, d_texts = passed_on([texts, d_texts])
        return d_images, d_texts, d_t, d_bias


def _part(hop: int, images: Tensor, texts: Tensor, t_prime: Tensor, bias: Tensor) -> Tensor:
    """Loss against one rank's texts: after no hop this rank's own, after others no match."""
    if hop == 0:
        return siglip_loss(images, texts, t_prime, bias)
    similarity = images @ texts.T
    return pairwise_sigmoid_loss(similarity, -torch.ones_like(similarity), t_prime, bias)
