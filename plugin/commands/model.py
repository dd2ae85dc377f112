"""`ctscribe model`: checkpoints on the screen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from dicom_io.errors import EngineError
from engine import EMBEDDED
from engine.checkpoints.checkpoint import describe
from engine.checkpoints.conversion import convert
from engine.checkpoints.families import FAMILIES, family_of
from engine.checkpoints.inspection import inspect_checkpoint
from engine.checkpoints.llm_export import export_llm, served_name
from engine.protocol import Quantization

LINES = (
    "layout",
    "name",
    "version",
    "digest",
    "regions",
    "prompt",
    "preprocess",
    "files",
    "dtypes",
    "lora_rank",
)


def print_info(name: str, *, as_json: bool) -> int:
    """Print what a checkpoint is; return the exit status, 1 where it would not load."""
    facts = inspect_checkpoint(_folder(name))
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
    else:
        for line in _lines(facts):
            click.echo(line)
    return 1 if facts["faults"] else 0


def print_conversion(
    name: str, target: Path, parts: Sequence[Path], *, lora_alpha: float | None, as_json: bool
) -> None:
    """Convert a checkpoint, and print what and where it is now.

    Parameters
    ----------
    name : str
        A checkpoint: folder, file or name on the hub.
    target : Path
        The folder to write.
    parts : sequence of Path
        Loose files to put over it.
    lora_alpha : float, optional
        Of adapters that do not say it.
    as_json : bool
        One object in place of lines.
    """
    written = convert(_folder(name), target, parts, lora_alpha=lora_alpha)
    facts = {"layout": written.layout, "folder": str(target), "digest": written.digest}
    click.echo(json.dumps(facts) if as_json else " ".join(facts.values()))


def print_export(name: str, target: Path, *, as_json: bool) -> None:
    """Write a checkpoint's language model, and print where it is now and what vLLM must call it.

    Parameters
    ----------
    name : str
        A checkpoint: folder, or name on the hub.
    target : Path
        The folder to write.
    as_json : bool
        One object in place of lines.
    """
    digest = export_llm(_folder(name), target)
    facts = {"folder": str(target), "digest": digest, "served_name": served_name(digest)}
    click.echo(json.dumps(facts) if as_json else f"{target} {facts['served_name']}")


def print_memory(
    name: str,
    *,
    dtype: str,
    quantization: Quantization,
    texts: int,
    new_tokens: int,
    evidence: bool,
    as_json: bool,
) -> None:
    """Print the bytes that a checkpoint takes while it writes, by part.

    Parameters
    ----------
    name : str
        A checkpoint: folder, file or name on the hub.
    dtype, quantization : str, Quantization
        Of the weights.
    texts : int
        How many are written at once.
    new_tokens : int
        The longest that each becomes.
    evidence : bool
        Whether the search for evidence is counted.
    as_json : bool
        One object in place of lines.

    Raises
    ------
    EngineError
        There is no checkpoint, or it holds no model that writes, or that names evidence.
    """
    import torch

    from engine.sizes.memory import PUBLISHED_MODEL, Load, memory_by_part

    network = PUBLISHED_MODEL if name == "published" else describe(_folder(name)).network
    if FAMILIES[family_of(network)].text != "llm":
        raise EngineError(f"{name} holds a contrastive pair, which writes no report")
    load = Load(texts=texts, new_tokens=new_tokens, evidence=evidence)
    parts = memory_by_part(network, getattr(torch, dtype), quantization, load)
    parts["total"] = sum(parts.values())
    if as_json:
        click.echo(json.dumps(parts))
    else:
        for part, count in parts.items():
            click.echo(f"{part:14} {count / 2**20:10,.1f} MiB")


def _folder(name: str) -> str | Path:
    return EMBEDDED if name == "embedded" else name


def _lines(facts: dict[str, Any]) -> list[str]:
    shown = {key: facts[key] for key in LINES if facts.get(key) not in (None, [])}
    if prompt := facts.get("prompt"):
        shown["prompt"] = {k: v for k, v in prompt.items() if v not in ("", (), False)}
    shown |= facts.get("network", {})
    if left_out := facts.get("provenance", {}).get("left out"):
        shown["left out"] = left_out
    if text := facts.get("text_model"):
        shown["text model"] = text
    lines = [f"{key:14} {_plain(value)}" for key, value in shown.items()]
    lines += [f"{part:14} {count:,} parameters" for part, count in facts["parameters"].items()]
    return [*lines, *facts["faults"]]


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value).replace("\n", "\\n")  # one line each
