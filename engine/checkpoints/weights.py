"""Put a checkpoint's tensors into a network, strictly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from dicom_io.errors import CheckpointMismatch
from engine.checkpoints.tensor_files import TensorInfo

Network = TypeVar("Network", bound=nn.Module)
Shaped = TypeVar("Shaped", Tensor, TensorInfo)

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
    given = require_network(network, tensors, tied=tied)
    for name in expected.keys() - given.keys():
        given[name] = torch.zeros_like(expected[name], device=device)
    placed = {}
    for name, tensor in given.items():
        own = exact is not None and name.startswith(exact)
        floating = expected[name].is_floating_point() and not own
        placed[name] = tensor.to(device, dtype if floating else expected[name].dtype)
    network.load_state_dict(placed, assign=True)
    if tied:
        network.get_submodule("lm_head").weight = network.get_parameter(EMBEDDINGS)
    return network.to(device).eval()


def require_network(
    network: nn.Module, tensors: Mapping[str, Shaped], *, tied: bool = False
) -> dict[str, Shaped]:
    """Compare names and shapes with a network's.

    Parameters
    ----------
    tensors : mapping
        Tensors, or what a header says of them.

    Returns
    -------
    dict
        `tensors`, with the embeddings in the place of a tied head. Counts of BatchNorm may be
        missing: they are read in training only, and some exports drop them.

    Raises
    ------
    CheckpointMismatch
        They differ; the message names the first tensors, `details` every one.
    """
    expected = network.state_dict()
    given = dict(tensors)
    if tied and EMBEDDINGS in given:
        given[HEAD] = given[EMBEDDINGS]
    counts = {name for name in expected if name.endswith("num_batches_tracked")}
    shapes = {name: tuple(tensor.shape) for name, tensor in expected.items()}
    faults = {
        "missing": shapes.keys() - given.keys() - counts,
        "unexpected": given.keys() - shapes.keys(),
        "mis-shaped": [
            f"{name} {tuple(given[name].shape)} in place of {shapes[name]}"
            for name in shapes.keys() & given.keys()
            if tuple(given[name].shape) != shapes[name]
        ],
    }
    found = [f"{fault}: {_some(names)}" for fault, names in faults.items() if names]
    if found:
        details = [f"{fault}: {name}" for fault, names in faults.items() for name in sorted(names)]
        raise CheckpointMismatch(
            f"the tensors are not those of the model; {'; '.join(found)}", tuple(details)
        )
    return given


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = len(ordered) - NAMED_AT_MOST
    return ", ".join(ordered[:NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
