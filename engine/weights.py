"""Put a checkpoint's tensors into a network, strictly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from dicom_io.errors import CheckpointMismatch

Network = TypeVar("Network", bound=nn.Module)

NAMED_AT_MOST = 5

HEAD, EMBEDDINGS = "lm_head.weight", "model.embed_tokens.weight"
"""One tensor in two places where a language model's embeddings are tied."""


def assemble(
    network: Network,
    tensors: Mapping[str, Tensor],
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    exact: str | None = None,
    *,
    tied: bool = False,
) -> Network:
    """Put tensors in the place of a network's own; eval mode.

    Parameters
    ----------
    network : nn.Module
        Its parameters may hold no memory (`torch.device("meta")`).
    tensors : mapping of str to Tensor
        Exactly the network's state. One that has the type asked for already is taken as it is, so
        that memory-mapped weights are not copied.
    device, dtype
        Where the network will run, and the type of its floating tensors.
    exact : str, optional
        Tensors whose names begin so stay in the network's own type.
    tied : bool
        Whether the language model's head is its embeddings; the head may be left out then.

    Raises
    ------
    CheckpointMismatch
        A tensor is missing, unexpected or of another shape.
    """
    expected = network.state_dict()
    given = dict(tensors)
    if tied and EMBEDDINGS in given:
        given[HEAD] = given[EMBEDDINGS]
    for name in expected.keys() - given.keys():
        if name.endswith("num_batches_tracked"):  # read in training only; some exports drop it
            given[name] = torch.zeros((), dtype=torch.int64)
    require_same_layout(expected, given)
    placed = {}
    for name, tensor in given.items():
        own = exact is not None and name.startswith(exact)
        floating = expected[name].is_floating_point() and not own
        placed[name] = tensor.to(device, dtype if floating else expected[name].dtype)
    network.load_state_dict(placed, assign=True)
    if tied:
        network.get_submodule("lm_head").weight = network.get_parameter(EMBEDDINGS)
    return network.to(device).eval()


def require_same_layout(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Compare names and shapes.

    Raises
    ------
    CheckpointMismatch
        They differ; the message names the first tensors, `details` every one.
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
        raise CheckpointMismatch(
            f"the tensors are not those of the model; {'; '.join(found)}",
            details=tuple(
                f"{fault}: {n}" for fault, names in faults.items() for n in sorted(names)
            ),
        )


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = len(ordered) - NAMED_AT_MOST
    return ", ".join(ordered[:NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
