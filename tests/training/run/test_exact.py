import pytest
import torch
from torch import nn

from training.run.batch_norm import SharedBatchNorm
from training.run.dropout import ItemDropout
from training.run.exact import TorchDraw, prepare_for_ranks

CPU = torch.device("cpu")
X = torch.ones(2, 3, 4, 4, 4)


def network() -> nn.Module:
    return nn.Sequential(nn.BatchNorm3d(3), nn.Dropout(0.5))


@pytest.mark.parametrize(
    ("exact", "ranks", "kinds"),
    [
        (True, 1, [SharedBatchNorm, ItemDropout]),
        (False, 1, [nn.BatchNorm3d, nn.Dropout]),
        (False, 2, [SharedBatchNorm, nn.Dropout]),  # torch's SyncBatchNorm refuses the CPU
    ],
)
def test_only_exact_ranks_have_dropout_of_our_own(exact, ranks, kinds):
    made, _ = prepare_for_ranks(network(), exact=exact, ranks=ranks, device=CPU)
    assert [type(module) for module in made] == kinds


def test_on_several_gpus_batch_norm_is_torch_s_own_and_keeps_its_names():
    before = network().state_dict().keys()
    made, _ = prepare_for_ranks(network(), exact=False, ranks=2, device=torch.device("cuda"))
    assert type(made[0]) is nn.SyncBatchNorm
    assert made.state_dict().keys() == before


def test_seed_step_and_items_decide_torch_s_masks():
    def mask(*place):
        seed, step, items = place
        TorchDraw().begin(seed, step, torch.tensor(items))
        return nn.functional.dropout(X)

    assert torch.equal(mask(1, 2, [3, 4]), mask(1, 2, [3, 4]))
    for other in ((2, 2, [3, 4]), (1, 3, [3, 4]), (1, 2, [4, 3])):
        assert not torch.equal(mask(1, 2, [3, 4]), mask(*other))
