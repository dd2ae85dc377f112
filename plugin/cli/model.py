"""The words of `ctscribe model`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import click

from plugin.cli.options import FOLDER, json_option


@click.group()
def model() -> None:
    """Inspect checkpoints, convert them, count their cost."""


@model.command()
@click.argument("checkpoint")
@json_option
def info(checkpoint: str, as_json: bool) -> None:
    """Say what a checkpoint is.

    CHECKPOINT is "embedded", a folder, a file, or OWNER/NAME@COMMIT on the hub.
    """
    from plugin.commands.model import print_info

    sys.exit(print_info(checkpoint, as_json=as_json))


@model.command()
@click.argument("checkpoint")
@click.option(
    "--dtype",
    default="bfloat16",
    show_default=True,
    type=click.Choice(["float32", "bfloat16", "float16"]),
    help="Number format of the weights.",
)
@click.option(
    "--quantization",
    default="none",
    show_default=True,
    type=click.Choice(["none", "int8", "nf4"]),
    help="How the language model's weights are compressed.",
)
@click.option(
    "--texts",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Texts that are written at the same time.",
)
@click.option(
    "--new-tokens",
    default=256,
    show_default=True,
    type=click.IntRange(1),
    help="Longest text, in tokens.",
)
@click.option("--evidence", is_flag=True, help="Count the search for evidence, too.")
@json_option
def memory(
    checkpoint: str,
    dtype: str,
    quantization: Literal["none", "int8", "nf4"],
    texts: int,
    new_tokens: int,
    evidence: bool,
    as_json: bool,
) -> None:
    """Count the memory that a model takes, part by part.

    CHECKPOINT is as for `ctscribe model info`, or "published" for the published 7B model, whose
    weights are not needed for this.
    """
    from plugin.commands.model import print_memory

    print_memory(
        checkpoint,
        dtype=dtype,
        quantization=quantization,
        texts=texts,
        new_tokens=new_tokens,
        evidence=evidence,
        as_json=as_json,
    )


@model.command()
@click.argument("checkpoint")
@click.argument("target", type=FOLDER)
@click.option(
    "--with",
    "parts",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of the authors' training: its weights replace CHECKPOINT's. May be repeated.",
)
@click.option(
    "--lora-alpha", type=float, help="LoRA's alpha, where no adapter_config.json states it."
)
@json_option
def convert(
    checkpoint: str,
    target: Path,
    parts: tuple[Path, ...],
    lora_alpha: float | None,
    as_json: bool,
) -> None:
    """Convert a checkpoint from the published layout, or back.

    CHECKPOINT is as for `ctscribe model info`. TARGET is the folder to write.
    """
    from plugin.commands.model import print_conversion

    print_conversion(checkpoint, target, parts, lora_alpha=lora_alpha, as_json=as_json)


@model.command("export-llm")
@click.argument("checkpoint")
@click.argument("target", type=FOLDER)
@json_option
def export_llm(checkpoint: str, target: Path, as_json: bool) -> None:
    """Write the language model of a checkpoint for vLLM.

    CHECKPOINT is as for `ctscribe model info`. TARGET is the folder to write: a Qwen2, Llama or
    Phi-3 model with its tokenizer, without vision tower and projector.
    """
    from plugin.commands.model import print_export

    print_export(checkpoint, target, as_json=as_json)


@model.command()
@json_option
def tables(as_json: bool) -> None:
    """Count the sizes in the paper's tables 9 and 12, and compare."""
    from plugin.commands.model_sizes import print_tables

    print_tables(as_json=as_json)
