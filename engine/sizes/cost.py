"""Parameters and multiply-adds of a network, counted on tensors that hold no memory."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

OPERATIONS_PER_VALUE = {nn.LayerNorm: 5, nn.BatchNorm2d: 2, nn.BatchNorm3d: 2}
"""What fvcore's flop counter charges a normalisation of a network in eval mode."""


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    Parameters
    ----------
    parameters : int
    multiply_adds : int
        Of convolutions, linear maps and attention, for one input.
    normalisations : int
        Operations of the normalisations, as fvcore adds them to the multiply-adds.
    """

    parameters: int
    multiply_adds: int
    normalisations: int

    @property
    def with_normalisations(self) -> int:
        return self.multiply_adds + self.normalisations


def parameters(network: nn.Module) -> int:
    """Count the parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def lora_parameters(network: nn.Module, rank: int) -> int:
    """Count what LoRA of this rank adds to every linear map."""
    linears = [m for m in network.modules() if isinstance(m, nn.Linear)]
    return sum(rank * (linear.in_features + linear.out_features) for linear in linears)


def cost(network: nn.Module, *inputs: Tensor) -> Cost:
    """Count what one forward pass costs; network and inputs may be on the meta device."""
    normalisations = 0

    def count(module: nn.Module, _: object, output: Tensor) -> None:
        nonlocal normalisations
        normalisations += OPERATIONS_PER_VALUE[type(module)] * output.numel()

    hooks = [
        module.register_forward_hook(count)
        for module in network.modules()
        if type(module) in OPERATIONS_PER_VALUE
    ]
    with FlopCounterMode(display=False) as counter:
        network.eval()(*inputs)
    for hook in hooks:
        hook.remove()
    return Cost(parameters(network), counter.get_total_flops() // 2, normalisations)
