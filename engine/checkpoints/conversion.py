"""From the published layouts to the native one and back, bit for bit.

Names and bits of the tensors are the same in both, so what changes is what stands beside them. The
published configuration travels in the native checkpoint's provenance, and goes back as it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from shutil import copyfile
from typing import Any

import torch
from torch import Tensor

from dicom_io.errors import CheckpointMismatch
from engine.checkpoints.checkpoint import describe
from engine.checkpoints.decoding import GENERATION
from engine.checkpoints.description import CONFIG, Description, Prompt, read_config
from engine.checkpoints.families import build, has_tied_head
from engine.checkpoints.folder import file_sha256, require_vacant, seal
from engine.checkpoints.layouts.native import (
    NAMES_OF_DISTRIBUTION,
    native_config,
    write_config,
    write_end_of_text,
)
from engine.checkpoints.layouts.vlm_qwen import LOOSE_TOWER, save_loose_tower, vlm_qwen_config
from engine.checkpoints.loose import add_part, read_part
from engine.checkpoints.tokenizer_files import TOKENIZER, read_tokenizer, tokenizer_files
from engine.checkpoints.weights import (
    EMBEDDINGS,
    HEAD,
    SHARD_BYTES,
    main_dtype,
    require_network,
    write_tensors,
)


def convert(
    name: str | Path,
    target: Path,
    parts: Sequence[Path] = (),
    *,
    lora_alpha: float | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> Description:
    """Write a published checkpoint as a native one, or a native one as it was published.

    Parameters
    ----------
    name : str or Path
        The source's folder, or its name on the hub.
    target : Path
        A folder that is missing or empty.
    parts : sequence of Path
        Loose files of the authors' training (`checkpoints.loose`), put over the source's weights in
        this order. With any, `target` becomes a native checkpoint, and the source may be the
        language model that the training began with.
    lora_alpha : float, optional
        See `engine.checkpoints.loose.add_part`.
    shard_bytes : int
        Weights that take more than this are split into several files.

    Returns
    -------
    Description
        Of what was written.

    Raises
    ------
    EngineError
        There is no such checkpoint.
    CheckpointMismatch
        Something is damaged, the tensors are not those of the model, `target` holds something, or
        the source was never published.
    """
    found = describe(name)
    back = found.layout == "native" and not parts
    if back and "published" not in found.card.provenance:
        raise CheckpointMismatch(
            f"{found.folder} was not converted from a published checkpoint, so it has no other form"
        )
    if back and "left out" in found.card.provenance:
        raise CheckpointMismatch(
            f"{found.folder} left out {found.card.provenance['left out']}; it has no way back"
        )
    require_vacant(target)
    tensors = found.tensors()
    for path in parts:
        tensors = add_part(tensors, read_part(path), lora_alpha=lora_alpha)
    if found.layout == "qwen2":
        found, tensors = with_image_token(found, tensors)
    tied = has_tied_head(found.network)
    require_network(build(found.network), tensors, tied=tied)
    stored = {key: tensor for key, tensor in tensors.items() if not (tied and key == HEAD)}
    target.mkdir(parents=True, exist_ok=True)
    write_tensors(stored, target, shard_bytes=shard_bytes)
    if back:
        _write_published(found, stored, target)
    else:
        _write_native(found, _provenance(found, parts), main_dtype(stored), target)
    return describe(target)


def with_image_token(
    found: Description, tensors: Mapping[str, Tensor]
) -> tuple[Description, dict[str, Tensor]]:
    """Give a language model's head the rows that its trained embeddings have.

    The authors cut both to the tokenizer's size and add one row, for the placeholder of an image
    token, as the mean of the others.
    """
    rows = len(tensors[EMBEDDINGS])
    head = tensors.get(HEAD)
    if head is not None and len(head) != rows:
        words = head[: rows - 1]
        tensors = {**tensors, HEAD: torch.cat([words, words.mean(dim=0, keepdim=True)])}
    llm = deepcopy(found.network.llm)
    llm.vocab_size = rows
    return replace(found, network=replace(found.network, llm=llm)), dict(tensors)


def _provenance(found: Description, parts: Sequence[Path]) -> dict[str, Any]:
    """Say where the weights come from, and keep what going back needs."""
    merged = {"merged": {path.name: file_sha256(path) for path in parts}} if parts else {}
    if found.layout == "native":
        return {**found.card.provenance, **merged}
    config = read_config(found.folder)
    if found.layout == "qwen2":
        config = vlm_qwen_config(config) | {"vocab_size": found.network.llm.vocab_size}
    files = [path.name for path in (*_beside(found.folder), *found.weights)]
    published = {"digest": found.digest, "config": config, "files": files}
    return {**found.card.provenance, "published": published, **merged}


def _write_native(
    found: Description, provenance: Mapping[str, Any], dtype: str, target: Path
) -> None:
    if found.prompt is None:
        _copy(_beside(found.folder), target)
    else:
        _write_tokenizer(found.folder, found.prompt, target)
    card = replace(found.card, provenance=provenance)
    config = native_config(found.network, card, found.prompt, found.preprocess)
    write_config(target, config, dtype)
    seal(target)


def _write_published(found: Description, tensors: Mapping[str, Tensor], target: Path) -> None:
    published = found.card.provenance["published"]
    text = json.dumps(published["config"], indent=2, ensure_ascii=False) + "\n"
    (target / CONFIG).write_text(text, encoding="utf-8")
    _copy([path for path in _beside(found.folder) if path.name in published["files"]], target)
    if LOOSE_TOWER in published["files"]:
        save_loose_tower(tensors, target / LOOSE_TOWER)


def _write_tokenizer(folder: Path, prompt: Prompt, target: Path) -> None:
    """Copy a tokenizer, and add what of it a native checkpoint needs and the folder lacks."""
    tokenizer = read_tokenizer(folder)
    write_end_of_text(target, prompt.eos_token, tokenizer.token_to_id(prompt.eos_token))
    _copy(_beside(folder), target)
    lacks_image_token = tokenizer.token_to_id(prompt.image_token) is None
    if lacks_image_token:
        tokenizer.add_special_tokens([prompt.image_token])
    if lacks_image_token or not (folder / TOKENIZER).is_file():
        tokenizer.save(str(target / TOKENIZER))


def _copy(paths: Iterable[Path], target: Path) -> None:
    for path in paths:
        copyfile(path, target / path.name)


def _beside(folder: Path) -> list[Path]:
    """List what goes along unchanged: tokenizer and generation settings."""
    others = [folder / name for name in (GENERATION, *NAMES_OF_DISTRIBUTION)]
    return [*tokenizer_files(folder), *(path for path in others if path.is_file())]
