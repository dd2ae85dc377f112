"""Weights: files of tensors, and their way into a network, strictly.

Files are safetensors or torch's `.bin`; code that a file carries is never run. Tensors come
memory-mapped: reading a file costs no second copy of it, and processes share it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from pickle import UnpicklingError
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dicom_io.errors import CheckpointMismatch
from engine.checkpoints.folder import read_json

SHARD_BYTES = 5_000_000_000
"""Hugging Face's own limit (`MAX_SHARD_SIZE` of huggingface_hub)."""

UNREADABLE = "{path} is damaged, or holds more than tensors"


@dataclass(frozen=True)
class TensorInfo:
    """What a header says of a tensor; `dtype` by torch's name, such as "bfloat16"."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        return prod(self.shape)

    @property
    def is_floating(self) -> bool:
        return self.dtype.startswith(("float", "bfloat"))


def count_layers(headers: Mapping[str, TensorInfo], begin: str) -> int:
    """Count the numbers that follow `begin`, such as "model.layers.", in the names of tensors."""
    return len({n.removeprefix(begin).split(".")[0] for n in headers if n.startswith(begin)})


def begin_as(own: Mapping[str, str], name: str) -> str:
    """Return a tensor's name with its beginning replaced; the first of `own` that fits counts."""
    begin = next((begin for begin in own if name.startswith(begin)), "")
    return own.get(begin, "") + name.removeprefix(begin)


TORCH_NAMES = {"F": "float", "BF": "bfloat", "I": "int", "U": "uint", "BOOL": "bool"}
"""Torch's names of types by the letters that safetensors has for them; the bits follow in both."""


NAMED_AT_MOST = 5
"""Tensors in one message; more hide what they have in common, and `details` has all."""

HEAD, EMBEDDINGS = "lm_head.weight", "model.embed_tokens.weight"
"""One tensor in two places where a language model's embeddings are tied."""

Network = TypeVar("Network", bound=nn.Module)
Shaped = TypeVar("Shaped", Tensor, TensorInfo)


def weight_files(folder: Path) -> list[Path]:
    """Find a model's weights: safetensors, one file or sharded, else torch's `.bin`.

    Raises
    ------
    CheckpointMismatch
        There are none, a shard is missing, or the index cannot be read.
    """
    for stem, suffix in (("model", "safetensors"), ("pytorch_model", "bin")):
        index = folder / f"{stem}.{suffix}.index.json"
        single = folder / f"{stem}.{suffix}"
        if index.is_file():
            paths = [folder / shard for shard in _shards(index)]
        elif single.is_file():
            paths = [single]
        else:
            continue
        if absent := [path.name for path in paths if not path.is_file()]:
            raise CheckpointMismatch(f"{folder} lacks {', '.join(absent)}")
        return paths
    raise CheckpointMismatch(f"{folder} holds no model.safetensors and no pytorch_model.bin")


def read_headers(paths: Iterable[Path]) -> dict[str, TensorInfo]:
    """Return name, type and shape of every tensor, without reading any.

    Raises
    ------
    CheckpointMismatch
        A file is damaged or holds more than tensors.
    """
    found: dict[str, TensorInfo] = {}
    for path in paths:
        found.update(_safetensors_header(path) if _is_safetensors(path) else _torch_header(path))
    return found


def read_tensors(paths: Iterable[Path]) -> dict[str, Tensor]:
    """Map the tensors of files into memory; bytes are read when they are used.

    Raises
    ------
    CheckpointMismatch
        A file is damaged or holds more than tensors.
    """
    tensors: dict[str, Tensor] = {}
    for path in paths:
        try:
            tensors.update(load_file(path) if _is_safetensors(path) else _torch_load(path))
        except SafetensorError as error:
            raise CheckpointMismatch(UNREADABLE.format(path=path)) from error
    return tensors


def write_tensors(
    tensors: Mapping[str, Tensor],
    folder: Path,
    *,
    stem: str = "model",
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write `<stem>.safetensors` as Hugging Face does, in shards where it gets too large.

    Parameters
    ----------
    tensors : mapping of str to Tensor
    folder : Path
        What it had under this stem goes.
    stem : str
    shard_bytes : int
        The most that one file holds.
    """
    # half a second to import, and most checkpoints are only read
    from huggingface_hub import split_state_dict_into_shards_factory

    for old in folder.glob(f"{stem}*.safetensors*"):
        old.unlink()
    split = split_state_dict_into_shards_factory(
        dict(tensors),
        get_storage_size=lambda tensor: tensor.nbytes,
        filename_pattern=stem + "{suffix}.safetensors",
        max_shard_size=shard_bytes,
    )
    for name, members in split.filename_to_tensors.items():
        shard = {member: tensors[member].contiguous() for member in members}
        save_file(shard, folder / name, metadata={"format": "pt"})
        # safetensors leaves it to its owner alone, and the service is another user
        (folder / name).chmod(0o644)
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        text = json.dumps(index, indent=2, sort_keys=True) + "\n"
        (folder / f"{stem}.safetensors.index.json").write_text(text, encoding="utf-8")


def main_dtype(tensors: Mapping[str, Tensor]) -> str:
    """Name the type that most numbers of some tensors have, such as "bfloat16"."""
    counts: Counter[str] = Counter()
    for tensor in tensors.values():
        if tensor.is_floating_point():
            counts[str(tensor.dtype).removeprefix("torch.")] += tensor.numel()
    return counts.most_common(1)[0][0]


def _shards(index: Path) -> list[str]:
    try:
        names = set(read_json(index)["weight_map"].values())
        return sorted(Path(name).name for name in names)
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointMismatch(f"{index} is no index of shards") from error


def _is_safetensors(path: Path) -> bool:
    return path.suffix == ".safetensors"


def _safetensors_header(path: Path) -> dict[str, TensorInfo]:
    try:
        with safe_open(path, "pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointMismatch(UNREADABLE.format(path=path)) from error
    infos = {}
    for name, found in slices.items():
        letters = found.get_dtype().rstrip("0123456789")
        if letters not in TORCH_NAMES:  # 8-bit floats, whose scales no layout here knows
            raise CheckpointMismatch(f"{path} holds {name} in {found.get_dtype()}")
        dtype = TORCH_NAMES[letters] + found.get_dtype().removeprefix(letters)
        infos[name] = TensorInfo(dtype, tuple(found.get_shape()))
    return infos


def _torch_header(path: Path) -> dict[str, TensorInfo]:
    return {
        name: TensorInfo(str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
        for name, tensor in _torch_load(path).items()
    }


def _torch_load(path: Path) -> dict[str, Tensor]:
    try:
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # torch's format before 1.6 cannot be mapped
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise CheckpointMismatch(UNREADABLE.format(path=path)) from error
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]  # a trainer's file; its counters and optimizer stay there
    if not isinstance(loaded, dict) or not all(isinstance(t, Tensor) for t in loaded.values()):
        raise CheckpointMismatch(UNREADABLE.format(path=path))
    return loaded


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
        A tensor is missing, unexpected, of another shape or type, or holds no finite number.
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
    _require_numbers(placed)
    network.load_state_dict(placed, assign=True)
    if tied:
        network.get_submodule("lm_head").weight = network.get_parameter(EMBEDDINGS)
    return network.to(device).eval()


def _require_numbers(tensors: Mapping[str, Tensor]) -> None:
    """Refuse weights with which every text would be nonsense; reads each once, without a copy."""
    floats = (item for item in tensors.items() if item[1].is_floating_point() and item[1].numel())
    odd = [name for name, tensor in floats if not torch.stack(tensor.aminmax()).isfinite().all()]
    if odd:
        raise CheckpointMismatch(f"not finite: {_some(odd)}", tuple(odd))


def require_network(
    network: nn.Module, tensors: Mapping[str, Shaped], *, tied: bool = False
) -> dict[str, Shaped]:
    """Compare names, shapes and kinds of numbers with a network's.

    Parameters
    ----------
    network : Module
        Whose names and shapes are wanted.
    tied : bool
        Whether its head shares the weights of its embeddings.
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
        "of whole numbers": [
            f"{name} ({str(given[name].dtype).removeprefix('torch.')})"
            for name in shapes.keys() & given.keys()
            if expected[name].is_floating_point() and not _is_floating(given[name])
        ],
    }
    found = [f"{fault}: {_some(names)}" for fault, names in faults.items() if names]
    if found:
        details = [f"{fault}: {name}" for fault, names in faults.items() for name in sorted(names)]
        raise CheckpointMismatch(
            f"the tensors are not those of the model; {'; '.join(found)}", tuple(details)
        )
    return given


def _is_floating(tensor: Tensor | TensorInfo) -> bool:
    if isinstance(tensor, TensorInfo):
        return tensor.is_floating
    return tensor.is_floating_point()


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = len(ordered) - NAMED_AT_MOST
    return ", ".join(ordered[:NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
