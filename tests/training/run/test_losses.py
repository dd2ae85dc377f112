import pytest
import torch
from torch.nn import functional as F

from engine.network.contrastive import clip_loss, siglip_loss
from training.run.losses import ring_siglip_loss, shared_clip_loss


def pairs() -> list[torch.Tensor]:
    torch.manual_seed(0)
    images, texts = (F.normalize(torch.randn(5, 8), dim=-1) for _ in range(2))
    leaves = [images, texts, torch.tensor([0.7]), torch.tensor([-1.5])]
    return [leaf.requires_grad_() for leaf in leaves]


def test_the_ring_of_one_rank_is_the_definition_with_all_gradients():
    values, gradients = [], []
    for loss in (siglip_loss, ring_siglip_loss):
        leaves = pairs()
        value = loss(*leaves)
        (value * 3).backward()
        values.append(value)
        gradients.append([leaf.grad for leaf in leaves])
    torch.testing.assert_close(*values)
    torch.testing.assert_close(*gradients)


def test_the_ring_s_gradient_is_that_of_its_value():
    leaves = [leaf.detach().double().requires_grad_() for leaf in pairs()]
    images, texts, *scalars = leaves

    def loss(*moved: torch.Tensor) -> torch.Tensor:
        return ring_siglip_loss(images.float(), texts.float(), *moved)

    assert torch.autograd.gradcheck(loss, scalars, eps=1e-3, atol=1e-3)


def test_clip_of_one_rank_is_the_definition():
    images, texts, scale, _ = pairs()
    torch.testing.assert_close(
        shared_clip_loss(images, texts, scale), clip_loss(images, texts, scale)
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16])
def test_the_loss_is_computed_in_float32(dtype):
    with torch.autocast("cpu", dtype):
        assert ring_siglip_loss(*pairs()).dtype == torch.float32
