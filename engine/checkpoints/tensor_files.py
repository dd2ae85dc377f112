"""Files of tensors, safetensors and torch's `.bin`; code that a file carries is never run.

Tensors come memory-mapped: reading a file costs no second copy of it, and processes share it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from dicom_io.errors import CheckpointMismatch

if TYPE_CHECKING:  # `ctscribe model info` reads headers without the seconds torch takes to import
    from torch import Tensor

SHARD_BYTES = 5_000_000_000

UNREADABLE = "{path} is damaged, or holds more than tensors"


@dataclass(frozen=True)
class TensorInfo:
    """What a header says of a tensor; `dtype` by torch's name, such as "bfloat16"."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        return prod(self.shape)


SAFETENSORS_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


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
    from safetensors import SafetensorError
    from safetensors.torch import load_file

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
    """Write `<stem>.safetensors` as Hugging Face does, in shards where it gets too large."""
    from huggingface_hub import split_state_dict_into_shards_factory
    from safetensors.torch import save_file

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


def _shards(index: Path) -> list[str]:
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        return sorted(Path(name).name for name in names)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointMismatch(f"{index} is no index of shards") from error


def _is_safetensors(path: Path) -> bool:
    return path.suffix == ".safetensors"


def _safetensors_header(path: Path) -> dict[str, TensorInfo]:
    try:
        with path.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            header: dict[str, Any] = json.loads(file.read(min(size, path.stat().st_size)))
        header.pop("__metadata__", None)
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        infos = {
            name: TensorInfo(SAFETENSORS_DTYPES[entry["dtype"]], tuple(entry["shape"]))
            for name, entry in header.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise CheckpointMismatch(UNREADABLE.format(path=path)) from error
    if path.stat().st_size != 8 + size + end:
        raise CheckpointMismatch(UNREADABLE.format(path=path))
    return infos


def _torch_header(path: Path) -> dict[str, TensorInfo]:
    return {
        name: TensorInfo(str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
        for name, tensor in _torch_load(path).items()
    }


def _torch_load(path: Path) -> dict[str, Tensor]:
    import torch
    from torch import Tensor

    try:
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # torch's format before 1.6 cannot be mapped
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise CheckpointMismatch(UNREADABLE.format(path=path)) from error
    if not isinstance(loaded, dict) or not all(isinstance(t, Tensor) for t in loaded.values()):
        raise CheckpointMismatch(UNREADABLE.format(path=path))
    return loaded
