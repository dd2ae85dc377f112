"""`ctscribe model`: checkpoints on the screen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from engine import EMBEDDED
from engine.conversion import convert
from engine.inspection import inspect_checkpoint


def print_info(name: str, *, as_json: bool) -> int:
    """Print what a checkpoint is; return the exit status, 1 where it would not load."""
    facts = inspect_checkpoint(EMBEDDED if name == "embedded" else name)
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
    else:
        for line in _lines(facts):
            click.echo(line)
    return 1 if facts["faults"] else 0


def print_conversion(name: str, target: Path, *, as_json: bool) -> None:
    """Convert a checkpoint, and print where it is and its digest."""
    written = convert(EMBEDDED if name == "embedded" else name, target)
    facts = {"layout": written.layout, "folder": str(target), "digest": written.digest}
    click.echo(json.dumps(facts) if as_json else " ".join(facts.values()))


def _lines(facts: dict[str, Any]) -> list[str]:
    lines = [f"{key:14} {facts[key]}" for key in ("layout", "name", "version", "digest")]
    lines += [f"{key:14} {_plain(value)}" for key, value in facts["network"].items()]
    llm = facts["text_config"]
    lines.append(
        f"{'llm':14} {llm['model_type']}, {llm['num_hidden_layers']} layers of "
        f"{llm['hidden_size']}, vocabulary {llm['vocab_size']}"
    )
    lines += [f"{key:14} {_plain(facts[key])}" for key in ("prompt", "preprocess", "dtypes")]
    lines += [f"{part:14} {count:,} parameters" for part, count in facts["parameters"].items()]
    return [*lines, *facts["faults"]]


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items())
    return str(value)
