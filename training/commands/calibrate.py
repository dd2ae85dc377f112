"""`ctscribe calibrate`, found through the entry points of pyproject.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from training.commands.options import EXISTING


@click.command(context_settings={"show_default": True})
@click.argument("store", type=EXISTING)
@click.option("--model", required=True, help="Model to calibrate: embedded, or a folder.")
@click.option(
    "--split",
    type=click.Choice(["grouped", "paper"]),
    default="grouped",
    help="Split of the store. Give the one that the model was trained with.",
)
@click.option(
    "--images",
    type=click.IntRange(min=2),
    default=1500,
    help="So many images of the part train are looked at.",
)
@click.option(
    "--device",
    default="auto",
    help='Device to run on, such as "cpu" or "cuda". Auto takes CUDA if there is one.',
)
def calibrate(store: Path, model: str, split: Any, images: int, device: str) -> None:
    """Let a model abstain from studies that are unlike yours.

    STORE is a training store. What its images look like is written beside the weights of --model,
    as out_of_distribution.safetensors. The parts validation and test set the limits: the model must
    not have been trained on them. The checkpoint gets another digest.
    """
    from engine import EMBEDDED
    from engine.checkpoints.checkpoint import load_checkpoint
    from engine.inference.device import choose_device
    from training.export.calibrate import calibrate_distribution, open_held_out

    folder = EMBEDDED if model == "embedded" else Path(model)
    checkpoint = load_checkpoint(folder, device=choose_device(device))
    held_out = open_held_out(checkpoint, store, split)
    for line in calibrate_distribution(checkpoint, folder, held_out, images):
        click.echo(line)
