"""`ctscribe calibrate`, found through the entry points of pyproject.toml."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from training.commands.options import EXISTING

DISTRIBUTION, CONFIDENCE = "out-of-distribution", "confidence"


@click.command(context_settings={"show_default": True})
@click.argument("store", type=EXISTING)
@click.option("--model", required=True, help="Model to calibrate: embedded, or a folder.")
@click.option(
    "--only",
    type=click.Choice([DISTRIBUTION, CONFIDENCE]),
    help="Fit only one of both, and leave the other as it is.",
)
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
    help="So many images of the part train are looked at, for out-of-distribution.",
)
@click.option(
    "--name",
    help="What drafts call the studies of the calibration.  [default: the name of STORE's folder]",
)
@click.option(
    "--device",
    default="auto",
    help='Device to run on, such as "cpu" or "cuda". Auto takes CUDA if there is one.',
)
def calibrate(model: str, **options: Any) -> None:
    """Fit a model's confidence and abstentions to your studies.

    STORE is a training store. Two files are written beside the weights of --model:
    out_of_distribution.safetensors says what images it may describe, calibration.json what its
    confidence is worth. The parts validation and test of the store decide: the model must not have
    been trained on them. The checkpoint gets another digest.
    """
    from engine import EMBEDDED

    for line in _lines(EMBEDDED if model == "embedded" else Path(model), **options):
        click.echo(line)


def _lines(
    folder: Path,
    store: Path,
    only: str | None,
    split: Any,
    images: int,
    name: str | None,
    device: str,
) -> Iterator[str]:
    """Do what the command says; each line tells what came of it."""
    from engine.checkpoints.checkpoint import describe, load_checkpoint
    from engine.inference.device import choose_device
    from training.commands.calibrated_confidence import calibrate_confidence
    from training.evaluation.findings.facts import facts_of
    from training.evaluation.findings.vocabulary import default_vocabulary
    from training.export.calibrate import calibrate_distribution, open_held_out

    found = describe(folder)
    held_out = open_held_out(found, store, split)
    if only != CONFIDENCE:
        checkpoint = load_checkpoint(folder, device=choose_device(device))
        yield from calibrate_distribution(checkpoint, folder, held_out, images)
    if only != DISTRIBUTION:
        findings = found.card.findings or default_vocabulary().findings
        truths = {key: facts_of(held_out.store, key, findings) for key in held_out.unseen}
        title = name or store.resolve().name
        yield from calibrate_confidence(folder, held_out.store, truths, title, device)
