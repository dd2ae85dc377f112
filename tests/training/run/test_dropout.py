import pytest
import torch
from torch import nn

from training.run.dropout import Draw, ItemDropout, drop_by_items

X = torch.ones(3, 5, 400)


def dropped(items: list[int], x: torch.Tensor = X, *, step: int = 0, layer: int = 1, p=0.25):
    draw = Draw()
    draw.begin(7, step, torch.tensor(items))
    return ItemDropout(p, layer, draw)(x)


def test_an_item_has_its_mask_wherever_it_is_in_whatever_batch():
    together = dropped([4, 9, 2])
    assert torch.equal(together[2:], dropped([2], X[:1]))
    assert torch.equal(together[[1, 0]], dropped([9, 4], X[:2]))


def test_padding_changes_no_mask():
    assert torch.equal(dropped([4, 9, 2])[:, :3], dropped([4, 9, 2], X[:, :3]))


def test_item_step_and_layer_each_change_the_mask():
    masks = [dropped([1], X[:1]), dropped([2], X[:1])]
    masks += [dropped([1], X[:1], step=1), dropped([1], X[:1], layer=2)]
    agreement = torch.stack([(a == b).float().mean() for a in masks for b in masks if a is not b])
    # two masks that have nothing to do with each other agree on 0.75² + 0.25² of the values
    assert (agreement - 0.625).abs().max() < 0.05


@pytest.mark.parametrize("p", [0.05, 0.5])
def test_as_much_is_dropped_as_was_asked_for_and_the_mean_stays(p):
    y = dropped(list(range(3)), torch.ones(3, 200, 200), p=p)
    assert (y == 0).float().mean() == pytest.approx(p, abs=0.005)
    assert y.mean() == pytest.approx(1, abs=0.01)


def test_every_dropout_of_a_network_is_replaced_and_draws_for_itself():
    network = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.5)))
    draw = drop_by_items(network)
    draw.begin(0, 0, torch.arange(2))
    first, second = network[1], network[2][0]
    assert not torch.equal(first(torch.ones(2, 64)), second(torch.ones(2, 64)))


def test_in_evaluation_nothing_is_dropped():
    network = nn.Sequential(nn.Dropout(0.5))
    drop_by_items(network)
    assert torch.equal(network.eval()(X), X)


def test_a_batch_of_other_items_than_announced_is_an_error():
    with pytest.raises(RuntimeError, match="the items of this batch"):
        dropped([1, 2])
