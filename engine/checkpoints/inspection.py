"""What a checkpoint is, told from its configuration and the headers of its weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dicom_io.errors import CheckpointMismatch
from engine.checkpoints.checkpoint import describe, require_tokenizer
from engine.checkpoints.decoding import read_decoding
from engine.checkpoints.description import Description
from engine.checkpoints.families import (
    OTHERS,
    PARTS,
    build,
    has_tied_head,
    network_to_dict,
    part_of,
    text_config_of,
)
from engine.checkpoints.folder import file_sha256
from engine.checkpoints.loose import read_part
from engine.checkpoints.tokenizer_files import read_tokenizer
from engine.checkpoints.weights import TensorInfo, require_network

BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def inspect_checkpoint(name: str | Path) -> dict[str, Any]:
    """Say what a checkpoint is, in values that JSON can hold; no weight is read.

    Parameters
    ----------
    name : str or Path
        Its folder, its name on the hub, or a loose file of the authors' training.

    Raises
    ------
    EngineError
        There is no checkpoint.
    CheckpointMismatch
        It is damaged, or of no layout that this version reads. Tensors that do not fit are no
        error here: the key "faults" names every one.
    """
    if Path(name).is_file():
        return _inspect_part(Path(name))
    found = describe(name)
    headers = found.headers()
    text = text_config_of(found.network)
    return {
        "layout": found.layout,
        "folder": str(found.folder),
        "name": found.card.name,
        "version": found.card.version,
        "digest": found.digest,
        "demonstration": found.card.demonstration,
        "regions": list(found.card.regions),
        **network_to_dict(found.network),
        "text_model": {
            "type": text.model_type,
            "layers": text.num_hidden_layers,
            "width": text.hidden_size,
            "vocabulary": text.vocab_size,
        },
        "prompt": asdict(found.prompt) if found.prompt else None,
        "preprocess": found.preprocess.to_dict(),
        "provenance": dict(found.card.provenance),
        "files": {path.name: path.stat().st_size for path in found.weights},
        "parameters": parameters_by_part(headers),
        "dtypes": dict(Counter(info.dtype for info in headers.values())),
        "faults": [*_faults(found.network, headers), *_text_faults(found)],
    }


def _inspect_part(path: Path) -> dict[str, Any]:
    part = read_part(path)
    return {
        "layout": part.kind,
        "files": {path.name: path.stat().st_size},
        "digest": file_sha256(path),
        "lora_rank": part.lora_rank,
        "parameters": parameters_by_part(part.headers),
        "dtypes": dict(Counter(info.dtype for info in part.headers.values())),
        "faults": [],
    }


def parameters_by_part(headers: Mapping[str, TensorInfo]) -> dict[str, int]:
    """Count parameters, not buffers, of each part and "total"."""
    counts: Counter[str] = Counter()
    for name, info in headers.items():
        if not name.endswith(BUFFERS):
            counts[part_of(name)] += info.count
    parts = {part: counts[part] for part in [*PARTS, OTHERS] if counts[part]}
    return parts | {"total": counts.total()}


def _text_faults(found: Description) -> list[str]:
    """Tell what keeps a model from writing, though its tensors are right."""
    if found.prompt is None or found.layout == "qwen2":
        return []
    try:
        require_tokenizer(found, read_tokenizer(found.folder))
        read_decoding(found.folder)
    except CheckpointMismatch as error:
        return [str(error)]
    return []


def _faults(network: Any, headers: Mapping[str, TensorInfo]) -> list[str]:
    empty = build(network)
    try:
        require_network(empty, headers, tied=has_tied_head(network))
    except CheckpointMismatch as error:
        return list(error.details)
    return []
