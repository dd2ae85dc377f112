"""Figures that the authors' code printed, and the weights it printed them for."""

import json
import zlib
from collections.abc import Collection
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

FIGURES: dict[str, Any] = json.loads(Path(__file__).with_name("golden.json").read_text())

FAMILIES: dict[str, Any] = json.loads(Path(__file__).with_name("golden_families.json").read_text())

RELATIVE = 1e-4


def filled(module: nn.Module, keep: Collection[str] = ()) -> nn.Module:
    """Fill every floating tensor of the state, but those in `keep`, from its name alone."""
    state = module.state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point() and name not in keep:
            state[name] = filled_tensor(name, tuple(tensor.shape))
    module.load_state_dict(state)
    return module.eval()


def filled_tensor(name: str, shape: tuple[int, ...]) -> Tensor:
    """The values of one tensor; names are the published ones."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("running_var"):
        values = rng.random(shape) + 0.5
    elif len(shape) >= 2:
        values = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    elif name.endswith(("weight", "gamma_1", "gamma_2", "gamma", "_scale")):
        values = 1 + 0.1 * rng.standard_normal(shape)
    else:
        values = 0.1 * rng.standard_normal(shape)
    return torch.from_numpy(np.asarray(values).astype(np.float32))


def uniform(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape, dtype=np.float32))


def token_ids(seed: int, vocabulary: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, vocabulary, shape))


def layout_digest(module: nn.Module) -> str:
    """SHA-256 over the sorted names and shapes of a state."""
    lines = sorted(f"{name} {list(t.shape)}" for name, t in module.state_dict().items())
    return sha256("\n".join(lines).encode()).hexdigest()


def assert_equals_golden(output: Tensor, figure: dict[str, Any]) -> None:
    """Compare shape, norm, moments and samples within 1e-4 of the output's size."""
    flat = output.detach().flatten()
    expected = torch.tensor(figure["samples"])
    where = torch.linspace(0, len(flat) - 1, len(expected)).long()
    assert list(output.shape) == figure["shape"]
    assert (flat[where] - expected).abs().max() <= RELATIVE * expected.abs().max()
    assert abs(float(flat.norm()) - figure["l2"]) <= RELATIVE * figure["l2"]
    assert abs(float(flat.std()) - figure["std"]) <= RELATIVE * figure["std"]
    assert abs(float(flat.mean()) - figure["mean"]) <= RELATIVE * figure["std"]
