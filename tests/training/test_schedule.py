import pytest
import torch
from torch import nn

from training.schedule import optimizer_and_schedule


def rates(steps: int) -> list[float]:
    optimizer, schedule = optimizer_and_schedule([nn.Parameter(torch.ones(1, 1))], steps, 1.0, 0)
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return seen


def test_the_rate_rises_linearly_for_three_percent_of_the_steps():
    assert rates(100)[:4] == pytest.approx([1 / 3, 2 / 3, 1, 1])


def test_the_rate_falls_to_zero_as_a_cosine():
    seen = rates(100)
    assert seen[-1] < 0.002
    assert seen[51] == pytest.approx(0.5, abs=0.01)


def test_weight_decay_spares_vectors_and_scalars():
    layer = nn.Linear(2, 2)
    optimizer, _ = optimizer_and_schedule([*layer.parameters()], 10, 1.0, 0.1)
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert decay[id(layer.weight)] == 0.1
    assert decay[id(layer.bias)] == 0


def test_frozen_parameters_are_not_optimised():
    frozen = nn.Parameter(torch.ones(1, 1), requires_grad=False)
    learnt = nn.Parameter(torch.ones(1, 1))
    optimizer, _ = optimizer_and_schedule([frozen, learnt], 10, 1.0, 0)
    assert [p is learnt for g in optimizer.param_groups for p in g["params"]] == [True]
