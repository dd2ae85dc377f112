"""Loose files of the authors' training: parts of a model, and a state dict with LoRA.

`pretrained_ViT.bin` (stage 1), `mm_projector.bin` (stage 2), `model_with_lora.bin` (stage 3),
`vision_tower.bin`, and the `adapter_model` files of PEFT. Names become those of `vlm_qwen`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from dicom_io.errors import CheckpointMismatch
from engine.checkpoints.adapters import LORA_A, merge_lora
from engine.checkpoints.folder import read_json
from engine.checkpoints.layouts.vlm_qwen import TOWER, dcformer_config, published_names
from engine.checkpoints.weights import (
    NAMED_AT_MOST,
    TensorInfo,
    assemble,
    read_headers,
    read_tensors,
)
from engine.network.towers.dcformer import DCFormer

Kind = Literal["vision tower", "projector", "LoRA", "state dict"]

AUTHORS_LORA = (16, 32.0)
"""Rank and alpha of the authors' scripts, which write them into no file but PEFT's."""


@dataclass(frozen=True)
class Part:
    """A loose file.

    Parameters
    ----------
    path : Path
    kind : {"vision tower", "projector", "LoRA", "state dict"}
    headers : mapping
        Its tensors, under the names of `vlm_qwen`.
    """

    path: Path
    kind: Kind
    headers: Mapping[str, TensorInfo]

    @property
    def lora_rank(self) -> int | None:
        """Rank of its adapters; None where it has none."""
        return next((info.shape[0] for n, info in self.headers.items() if LORA_A in n), None)


def read_part(path: Path) -> Part:
    """Tell what a loose file is, from its headers.

    Raises
    ------
    CheckpointMismatch
        It is damaged, holds more than tensors, or tensors that ZeRO-3 left empty.
    """
    headers: dict[str, TensorInfo] = part_names(read_headers([path]))
    if empty := sorted(name for name, info in headers.items() if not info.count):
        more = len(empty) - NAMED_AT_MOST
        raise CheckpointMismatch(
            f"{path} was saved under ZeRO-3 without gathering the weights; empty: "
            f"{', '.join(empty[:NAMED_AT_MOST])}" + (f" and {more} more" if more > 0 else ""),
            tuple(f"empty: {name}" for name in empty),
        )
    return Part(path, _kind(headers), headers)


def load_vision_tower(path: Path) -> DCFormer:
    """Load a vision tower from a loose file; stage 2 of the authors begins with it.

    Raises
    ------
    CheckpointMismatch
        It is damaged, or a tensor is missing, unexpected or mis-shaped.
    """
    part = read_part(path)
    tower = DCFormer(dcformer_config(part.headers, TOWER))
    tensors = part_names(read_tensors([path]))
    return assemble(tower, {name.removeprefix(TOWER): t for name, t in tensors.items()})


def add_part(
    tensors: Mapping[str, Tensor], part: Part, *, lora_alpha: float | None = None
) -> dict[str, Tensor]:
    """Put the tensors of a loose file over those of a model; adapters are merged.

    Parameters
    ----------
    part : Part
        The loose file.
    tensors : mapping
        Of the model, under the names of `vlm_qwen`.
    lora_alpha : float, optional
        By default what PEFT's adapter_config.json beside the file says, else what the authors'
        scripts have for rank 16.

    Raises
    ------
    CheckpointMismatch
        An adapter lacks its other half or its layer, or nothing states its alpha.
    """
    together = {**tensors, **part_names(read_tensors([part.path]))}
    rank = part.lora_rank
    if rank is None:
        return together
    return merge_lora(together, lora_scale(part.path, rank, lora_alpha))


def lora_scale(path: Path, rank: int, alpha: float | None = None) -> float:
    """Return alpha / r (or alpha / √r, where PEFT's adapter_config.json says so).

    Parameters
    ----------
    path : Path
        The file with the adapters; PEFT's settings are looked for beside it.
    rank : int
    alpha : float, optional
        Goes before what the settings say.

    Raises
    ------
    CheckpointMismatch
        Nothing states alpha.
    """
    config = _adapter_config(path)
    if alpha is None:
        alpha = config.get("lora_alpha")
    if alpha is None and rank == AUTHORS_LORA[0]:
        alpha = AUTHORS_LORA[1]
    if alpha is None:
        raise CheckpointMismatch(
            f"nothing beside {path} states the alpha of its adapters of rank {rank}; name it"
        )
    root: float = rank**0.5 if config.get("use_rslora") else rank
    return float(alpha) / root


def part_names(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Names of a loose file -> names of `vlm_qwen`; of what PEFT keeps twice, the trained one."""
    names = {}
    for name, value in published_names(stored).items():
        if ".original_module." in name:
            continue
        name = name.replace(".base_layer.", ".").replace(".modules_to_save.default.", ".")
        name = name.replace(".default.weight", ".weight")
        names[f"{TOWER}{name}" if name.startswith("encoder.") else name] = value
    return names


def _kind(headers: Mapping[str, TensorInfo]) -> Kind:
    if any(LORA_A in name for name in headers):
        return "LoRA"
    if all(name.startswith(TOWER) for name in headers):
        return "vision tower"
    known = ("model.mm_projector.", "model.embed_tokens.")
    return "projector" if all(name.startswith(known) for name in headers) else "state dict"


def _adapter_config(path: Path) -> dict[str, Any]:
    """Find PEFT's settings: beside the file, or in the last of the trainer's checkpoints."""
    steps = sorted(
        path.parent.glob("checkpoint-*/adapter_config.json"),
        key=lambda found: int(found.parent.name.rpartition("-")[2]),
    )
    for candidate in (path.parent / "adapter_config.json", *reversed(steps)):
        if candidate.is_file():
            config: dict[str, Any] = read_json(candidate)
            return config
    return {}
