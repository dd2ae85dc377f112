import torch
from torch import nn

from training.run.batch_norm import share_batch_norm, statistics_kept


def norms() -> tuple[nn.Module, nn.Module]:
    """torch's own, and the one that is shared, with the same weights."""
    torch.manual_seed(0)
    own, shared = nn.BatchNorm3d(3), nn.BatchNorm3d(3)
    nn.init.normal_(own.weight)
    shared.load_state_dict(own.state_dict())
    share_batch_norm(shared)
    return own, shared


def test_on_one_rank_it_is_torch_s_batch_norm():
    own, shared = norms()
    outputs, gradients = [], []
    for norm in (own, shared):
        x = torch.randn(4, 3, 2, 3, 4, generator=torch.Generator().manual_seed(1)) * 3 + 50
        x.requires_grad_()
        y = norm(x)
        (y * torch.arange(y.numel()).view_as(y).cos()).sum().backward()
        outputs.append(y)
        gradients.append((x.grad, norm.weight.grad, norm.bias.grad))
    torch.testing.assert_close(*outputs)
    torch.testing.assert_close(*gradients)
    torch.testing.assert_close(own.state_dict(), shared.state_dict())


def test_in_evaluation_it_uses_what_it_remembers():
    own, shared = norms()
    x = torch.randn(2, 3, 2, 2, 2)
    assert torch.equal(own.eval()(x), shared.eval()(x))


def test_a_pass_that_is_computed_again_is_not_remembered_twice():
    _, shared = norms()
    with statistics_kept(shared):
        shared(torch.randn(2, 3, 2, 2, 2))
    assert shared.num_batches_tracked == 0
    assert torch.equal(shared.running_mean, torch.zeros(3))


def test_neither_is_one_of_torch_s_own():
    own, _ = norms()
    with statistics_kept(own):
        kept = own(torch.randn(2, 3, 2, 2, 2))
    assert kept.mean().abs() < 0.5, "it still used the statistics of the batch"
    assert own.num_batches_tracked == 0
