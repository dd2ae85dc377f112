"""The contrastive losses of a batch that lies on several ranks.

`engine.network.contrastive` is the definition. Each rank gets the loss of its own images; the mean
over ranks is the loss of the whole batch, and so are the gradients.

With `groups` an image does not count against another text of its own group: a report that says the
same is no wrong one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from engine.network.contrastive import pairwise_sigmoid_loss
from training.run.ranks import gathered, passed_on, rank, world


def ring_siglip_loss(
    images: Tensor, texts: Tensor, t_prime: Tensor, bias: Tensor, groups: Tensor | None = None
) -> Tensor:
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
    groups : Tensor, shape (n,), optional
        An integer for each pair; pairs with the same one are equal.
    """
    groups = _each_its_own(images) if groups is None else groups
    with torch.autocast(images.device.type, enabled=False):
        arguments = images.float(), texts.float(), t_prime, bias, groups
        loss: Tensor = _RingSigLIP.apply(*arguments)  # type: ignore[no-untyped-call]
    return loss


def shared_clip_loss(
    images: Tensor, texts: Tensor, logit_scale: Tensor, groups: Tensor | None = None
) -> Tensor:
    """`clip_loss` of this rank's images and texts against those of all ranks, in float32.

    Parameters
    ----------
    images, texts : Tensor, shape (n, width)
        Unit vectors; row i of both belongs together.
    logit_scale : Tensor, shape ()
        Logarithm of the scale.
    groups : Tensor, shape (n,), optional
        An integer for each pair; pairs with the same one are equal.
    """
    groups = _each_its_own(images) if groups is None else groups
    with torch.autocast(images.device.type, enabled=False):
        images, texts = images.float(), texts.float()
        own = rank() * len(images) + torch.arange(len(images), device=images.device)
        equal = groups[:, None] == gathered(groups)
        equal.scatter_(1, own[:, None], False)  # what belongs together always counts
        scale = logit_scale.exp()
        of_texts = (scale * images @ gathered(texts).T).masked_fill(equal, -torch.inf)
        of_images = (scale * texts @ gathered(images).T).masked_fill(equal, -torch.inf)
        return (F.cross_entropy(of_texts, own) + F.cross_entropy(of_images, own)) / 2


def _each_its_own(rows: Tensor) -> Tensor:
    """Return groups of one: (n, …) -> (n,), different ones on each rank."""
    return rank() * len(rows) + torch.arange(len(rows), device=rows.device)


class _RingSigLIP(Function):
    @staticmethod
    def forward(
        ctx: Any, images: Tensor, texts: Tensor, t_prime: Tensor, bias: Tensor, groups: Tensor
    ) -> Tensor:
        ctx.save_for_backward(images, texts, t_prime, bias, groups)
        loss, of_texts = images.new_zeros(()), groups
        for hop in range(world()):
            matches = _matches(hop, groups, of_texts, images.dtype)
            loss += pairwise_sigmoid_loss(images @ texts.T, matches, t_prime, bias)
            if hop < world() - 1:
                texts, of_texts = passed_on([texts, of_texts])
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        images, texts, t_prime, bias, groups = ctx.saved_tensors
        d_images, d_t, d_bias = (torch.zeros_like(x) for x in (images, t_prime, bias))
        d_texts, of_texts = torch.zeros_like(texts), groups
        for hop in range(world()):
            matches = _matches(hop, groups, of_texts, images.dtype)
            with torch.enable_grad():
                leaves = [x.detach().requires_grad_() for x in (images, texts, t_prime, bias)]
                loss = pairwise_sigmoid_loss(leaves[0] @ leaves[1].T, matches, *leaves[2:])
                parts = torch.autograd.grad(loss, leaves, gradients[0])
            for so_far, part in zip((d_images, d_texts, d_t, d_bias), parts, strict=True):
                so_far += part
            texts, d_texts, of_texts = passed_on([texts, d_texts, of_texts])
        return d_images, d_texts, d_t, d_bias, None


def _matches(hop: int, groups: Tensor, of_texts: Tensor, dtype: torch.dtype) -> Tensor:
    """Say what counts against one rank's texts: after no hop they are this rank's own.

    Parameters
    ----------
    hop : int
    groups, of_texts : Tensor, shape (n,)
        Of the images and of the texts.
    dtype : torch.dtype

    Returns
    -------
    Tensor, shape (n, n)
        +1 for what belongs together, 0 for what is equal, -1 for everything else.
    """
    matches = -(groups[:, None] != of_texts).to(dtype)
    return matches if hop else matches.fill_diagonal_(1)
