"""The language model inside a checkpoint as a folder of its own, which other programs can run.

Adapters are merged in already: no layout here keeps them apart. Vision tower and projector stay
behind, so whoever runs the folder must be given the embeddings of prompts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dicom_io.errors import CheckpointMismatch, EngineError
from engine.checkpoints.checkpoint import describe
from engine.checkpoints.decoding import read_decoding
from engine.checkpoints.description import CONFIG, Description
from engine.checkpoints.families import build, has_tied_head
from engine.checkpoints.folder import read_json, require_vacant
from engine.checkpoints.layouts.native import write_end_of_text
from engine.checkpoints.tokenizer_files import TOKENIZER, read_tokenizer
from engine.checkpoints.weights import (
    HEAD,
    SHARD_BYTES,
    main_dtype,
    require_network,
    write_tensors,
)

ARCHITECTURES = {
    "qwen2": "Qwen2ForCausalLM",
    "llama": "LlamaForCausalLM",
    "phi3": "Phi3ForCausalLM",
}
"""What transformers calls the models that can be exported, by their `model_type`."""

OWN_TENSORS = ("model.layers.", "model.norm.", "model.embed_tokens.", HEAD)
"""What the names of the language model's tensors begin with, here and in transformers."""

DIGEST = "ctscribe_digest"
"""The key of config.json that tells which checkpoint a folder was exported from."""


def export_llm(name: str | Path, target: Path, *, shard_bytes: int = SHARD_BYTES) -> str:
    """Write the language model of a checkpoint as transformers would; no bit of it changes.

    Parameters
    ----------
    name : str or Path
        The checkpoint's folder, or its name on the hub.
    target : Path
        A folder that is missing or empty.
    shard_bytes : int
        Weights that take more than this are split into several files.

    Returns
    -------
    str
        The checkpoint's digest.

    Raises
    ------
    EngineError
        There is no such checkpoint, or its language model is none of `ARCHITECTURES`.
    CheckpointMismatch
        Something is damaged, the tensors are not those of the model, or `target` holds something.
    """
    found = describe(name)
    require_exportable(found)
    require_vacant(target)
    tied = has_tied_head(found.network)
    tensors = require_network(build(found.network), found.tensors(), tied=tied)
    own = {key: tensor for key, tensor in tensors.items() if key.startswith(OWN_TENSORS)}
    if tied:
        del own[HEAD]
    target.mkdir(parents=True, exist_ok=True)
    write_tensors(own, target, shard_bytes=shard_bytes)
    _write_tokenizer(found, target)
    _write_config(found, own, target)
    return found.digest


def exported_digest(folder: Path) -> str:
    """Tell which checkpoint a folder was exported from.

    Raises
    ------
    CheckpointMismatch
        `export_llm` did not write it.
    """
    digest = read_json(folder / CONFIG).get(DIGEST) if (folder / CONFIG).is_file() else None
    if not isinstance(digest, str):
        raise CheckpointMismatch(
            f"{folder} was not written by `ctscribe model export-llm`: its {CONFIG} has no {DIGEST}"
        )
    return digest


def served_name(digest: str) -> str:
    """Return what a server must call the model, so that nobody takes another one's tokens."""
    return f"ctscribe-{digest[:16]}"


def require_exportable(found: Description) -> None:
    """Refuse a checkpoint whose language model no other program runs by its plain name.

    Raises
    ------
    EngineError
        It is none of `ARCHITECTURES`.
    """
    kind = getattr(getattr(found.network, "llm", None), "model_type", "none")
    if found.prompt is None or kind not in ARCHITECTURES:
        raise EngineError(
            f"{found.folder} has the language model {kind}; "
            f"only {', '.join(ARCHITECTURES)} can be exported"
        )


def _write_config(found: Description, tensors: Mapping[str, Tensor], target: Path) -> None:
    llm: Any = deepcopy(found.network.llm)
    llm.architectures = [ARCHITECTURES[llm.model_type]]
    llm.dtype = getattr(torch, main_dtype(tensors))
    values = {**llm.to_diff_dict(), DIGEST: found.digest}
    text = json.dumps(values, indent=2, sort_keys=True, default=str) + "\n"
    (target / CONFIG).write_text(text, encoding="utf-8")


def _write_tokenizer(found: Description, target: Path) -> None:
    assert found.prompt is not None
    tokenizer, eos = read_tokenizer(found.folder), found.prompt.eos_token
    tokenizer.save(str(target / TOKENIZER))
    write_end_of_text(target, eos, tokenizer.token_to_id(eos), read_decoding(found.folder))
