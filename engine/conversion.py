"""From the published layouts to the native one and back, bit for bit.

Names and bits of the tensors are the same in both, so what changes is what stands beside them. The
published configuration travels in the native checkpoint's provenance, and goes back as it was.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from shutil import copyfile
from typing import TYPE_CHECKING

from dicom_io.errors import CheckpointMismatch
from engine.checkpoint import describe
from engine.description import CONFIG, Description, read_config
from engine.families import build
from engine.manifest import seal
from engine.native import native_config, write_config, write_end_of_text
from engine.published import LOOSE_TOWER, save_loose_tower
from engine.tensor_files import SHARD_BYTES, write_tensors
from engine.tokenizer_files import TOKENIZER, read_tokenizer, tokenizer_files
from engine.weights import HEAD, require_network

if TYPE_CHECKING:
    from torch import Tensor

GENERATION = "generation_config.json"


def convert(name: str | Path, target: Path, *, shard_bytes: int = SHARD_BYTES) -> Description:
    """Write a published checkpoint as a native one, or a native one as it was published.

    Parameters
    ----------
    name : str or Path
        The source's folder, or its name on the hub.
    target : Path
        A folder that is missing or empty.
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
        It is damaged, its tensors are not those of its model, `target` holds something, or it was
        never published.
    """
    found = describe(name)
    tensors = found.tensors()
    tied = found.network.llm.tie_word_embeddings
    require_network(build(found.network), tensors, tied=tied)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CheckpointMismatch(f"{target} is there already, and not empty")
    if found.layout == "native" and "published" not in found.card.provenance:
        raise CheckpointMismatch(
            f"{found.folder} was not converted from a published checkpoint, so it has no other form"
        )
    target.mkdir(parents=True, exist_ok=True)
    stored = {key: tensor for key, tensor in tensors.items() if not (tied and key == HEAD)}
    write_tensors(stored, target, shard_bytes=shard_bytes)
    if found.layout == "native":
        _write_published(found, stored, target)
    else:
        _write_native(found, _main_dtype(stored), target)
    return describe(target)


def _write_native(found: Description, dtype: str, target: Path) -> None:
    published = {
        "digest": found.digest,
        "config": read_config(found.folder),
        "files": [path.name for path in (*_beside(found.folder), *found.weights)],
    }
    if not (found.folder / TOKENIZER).is_file():
        read_tokenizer(found.folder).save(str(target / TOKENIZER))
    eos = found.prompt.eos_token
    write_end_of_text(target, eos, read_tokenizer(found.folder).token_to_id(eos))
    for path in _beside(found.folder):
        copyfile(path, target / path.name)
    card = replace(found.card, provenance={"published": published})
    config = native_config(found.network, card, found.prompt, found.preprocess)
    write_config(target, config, dtype)
    seal(target)


def _write_published(found: Description, tensors: Mapping[str, Tensor], target: Path) -> None:
    published = found.card.provenance["published"]
    text = json.dumps(published["config"], indent=2, ensure_ascii=False) + "\n"
    (target / CONFIG).write_text(text, encoding="utf-8")
    for path in _beside(found.folder):
        if path.name in published["files"]:
            copyfile(path, target / path.name)
    if LOOSE_TOWER in published["files"]:
        save_loose_tower(tensors, target / LOOSE_TOWER)


def _beside(folder: Path) -> list[Path]:
    """List what goes along unchanged: tokenizer and generation settings."""
    generation = folder / GENERATION
    return [*tokenizer_files(folder), *([generation] if generation.is_file() else [])]


def _main_dtype(tensors: Mapping[str, Tensor]) -> str:
    counts: Counter[str] = Counter()
    for tensor in tensors.values():
        if tensor.is_floating_point():
            counts[str(tensor.dtype).removeprefix("torch.")] += tensor.numel()
    return counts.most_common(1)[0][0]
