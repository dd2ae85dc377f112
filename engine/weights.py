"""Put a checkpoint's tensors into a network, strictly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from dicom_io.errors import CheckpointMismatch

Network = TypeVar("Network", bound=nn.Module)

NAMED_AT_MOST = 5


def assemble(
    network: Network,
    tensors: Mapping[str, Tensor],
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    exact: str | None = None,
) -> Network:
    """Put tensors in the place of a network's own; eval mode.

    Parameters
    ----------
    network : nn.Module
        Its parameters may hold no memory (`torch.device("meta")`).
    tensors : mapping of str to Tensor
        Exactly the network's state.
    device, dtype
        Where the network will run, and the type of its floating tensors.
    exact : str, optional
        Tensors whose names begin so stay in the network's own type.

    Raises
    ------
    CheckpointMismatch
        A tensor is missing, unexpected or of another shape.
    """
    expected = network.state_dict()
    require_same_layout(expected, tensors)
    placed = {}
    for name, tensor in tensors.items():
        own = exact is not None and name.startswith(exact)
        floating = expected[name].is_floating_point() and not own
        placed[name] = tensor.to(device, dtype if floating else expected[name].dtype)
    network.load_state_dict(placed, assign=True)
    return network.to(device).eval()


def require_same_layout(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Compare names and shapes.

    Raises
    ------
    CheckpointMismatch
        They differ; the message names the tensors.
    """
    common = expected.keys() & tensors.keys()
    faults = {
        "missing": expected.keys() - tensors.keys(),
        "unexpected": tensors.keys() - expected.keys(),
        "mis-shaped": [
            f"{name} {tuple(tensors[name].shape)} in place of {tuple(expected[name].shape)}"
            for name in common
            if tensors[name].shape != expected[name].shape
        ],
    }
    found = [f"{fault}: {_some(names)}" for fault, names in faults.items() if names]
    if found:
        raise CheckpointMismatch(f"the tensors are not those of the model; {'; '.join(found)}")


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = len(ordered) - NAMED_AT_MOST
    return ", ".join(ordered[:NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
