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


GROUPS = torch.tensor([7, 3, 7, 9, 3])
COUNTS = (GROUPS[:, None] != GROUPS) | torch.eye(5, dtype=torch.bool)


def test_siglip_with_groups_is_the_sum_over_what_counts():
    leaves = pairs()
    loss = ring_siglip_loss(*leaves, groups=GROUPS)
    loss.backward()
    images, texts, t_prime, bias = again = pairs()
    terms = -F.logsigmoid((2 * torch.eye(5) - 1) * (t_prime.exp() * images @ texts.T + bias))
    expected = terms[COUNTS].sum() / 5
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close([x.grad for x in leaves], [x.grad for x in again])


def test_clip_with_groups_chooses_among_what_counts():
    images, texts, scale, _ = pairs()
    logits = scale.exp() * images @ texts.T
    chosen = [
        -rows[i][COUNTS[i]].log_softmax(0)[COUNTS[i].nonzero().flatten().tolist().index(i)]
        for rows in (logits, logits.T)
        for i in range(5)
    ]
    loss = shared_clip_loss(images, texts, scale, groups=GROUPS)
    torch.testing.assert_close(loss, torch.stack(chosen).mean())
    loss.backward()
    assert all(torch.isfinite(leaf.grad).all() for leaf in (images, texts, scale))


def test_groups_of_one_change_nothing():
    images, texts, *scalars = pairs()
    apart = torch.arange(5)
    siglip = ring_siglip_loss(images, texts, *scalars, groups=apart)
    assert torch.equal(siglip, ring_siglip_loss(images, texts, *scalars))
    clip = shared_clip_loss(images, texts, scalars[0], groups=apart)
    assert torch.equal(clip, shared_clip_loss(images, texts, scalars[0]))


@pytest.mark.parametrize("dtype", [torch.bfloat16])
def test_the_loss_is_computed_in_float32(dtype):
    with torch.autocast("cpu", dtype):
        assert ring_siglip_loss(*pairs()).dtype == torch.float32
