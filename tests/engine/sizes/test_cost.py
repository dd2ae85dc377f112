import torch
from torch import nn

from engine.sizes.cost import cost, lora_parameters


def test_a_linear_map_costs_a_multiply_add_for_each_weight_and_token() -> None:
    found = cost(nn.Linear(5, 7), torch.empty(1, 11, 5))
    assert (found.parameters, found.multiply_adds) == (5 * 7 + 7, 11 * 5 * 7)
    assert found.normalisations == 0


def test_a_depthwise_convolution_costs_its_kernel_for_each_value() -> None:
    found = cost(
        nn.Conv3d(4, 4, (3, 1, 1), padding=(1, 0, 0), groups=4), torch.empty(1, 4, 5, 6, 7)
    )
    assert found.multiply_adds == 3 * 4 * 5 * 6 * 7


def test_normalisations_are_counted_beside_the_multiply_adds() -> None:
    network = nn.Sequential(nn.BatchNorm3d(2), nn.Flatten(), nn.LayerNorm(16))
    found = cost(network, torch.empty(1, 2, 2, 2, 2))
    assert found.multiply_adds == 0
    assert found.with_normalisations == 2 * 16 + 5 * 16


def test_counting_needs_no_memory_and_leaves_no_hooks() -> None:
    with torch.device("meta"):
        network = nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 4))
        first, second = (cost(network, torch.empty(1, 4)) for _ in range(2))
    assert first == second


def test_lora_adds_two_thin_maps_to_every_linear_one() -> None:
    network = nn.Sequential(nn.Linear(5, 7), nn.GELU(), nn.Linear(7, 3))
    assert lora_parameters(network, 2) == 2 * (5 + 7) + 2 * (7 + 3)
