"""`ctscribe train`: the stages of the paper, in one process or in many."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from training.commands.options import processes_option, set_option


@click.group(context_settings={"show_default": True})
def train() -> None:
    """Train a model stage by stage, as a recipe says.

    The data are a store that `ctscribe prepare` made.
    """
    # PEFT imports it, and it warns of a kernel for CPUs that nothing here needs
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


recipe_option = click.option(
    "--recipe",
    required=True,
    help="Recipe of the run: paper, authors, site, phantom, detailed, ablation, or a TOML file.",
)
model_option = click.option(
    "--model", "start", help="Model to begin with: embedded, a folder, or OWNER/NAME@COMMIT."
)


def stage_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a stage the options that all have; it gets recipe, material, out and start."""

    @recipe_option
    @click.option(
        "--data",
        required=True,
        type=click.Path(path_type=Path),
        help="Training store to learn from, made by `ctscribe prepare`.",
    )
    @click.option(
        "-o",
        "--out",
        required=True,
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder of the run. An existing run goes on from its last state.",
    )
    @model_option
    @click.option(
        "--split",
        type=click.Choice(["grouped", "paper"]),
        help="Split of the store, in place of the recipe's.",
    )
    @set_option
    @wraps(command)
    def prepared(
        recipe: str,
        data: Path,
        out: Path,
        start: str | None,
        split: str | None,
        changes: tuple[str, ...],
        **more: Any,
    ) -> None:
        from training.learner.material import open_material
        from training.recipe.recipe import load_recipe

        start = _named(start)
        loaded = load_recipe(recipe, changes, start)
        command(loaded, open_material(loaded, data, split), out, start, **more)

    return prepared


@train.command()
@click.option(
    "--recipe",
    default="phantom",
    help="Recipe of the run: phantom, detailed, or a TOML file like these.",
)
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the run. A run that was killed goes on in it.",
)
@set_option
@processes_option
def phantom(recipe: str, out: Path, changes: tuple[str, ...], processes: int) -> None:
    """Train a model of phantoms from nothing: all stages.

    OUT gets the phantoms, a folder for each stage, and log.json, which says when each began, how
    long it took and what came out. The model is OUT/finetune/checkpoint.
    """
    from training.recipe.recipe import load_recipe
    from training.stages.from_nothing import train_from_nothing

    click.echo(train_from_nothing(load_recipe(recipe, changes), out, processes=processes))


@train.command()
@stage_options
def contrastive(recipe: Any, material: Any, out: Path, start: str | None) -> None:
    """Stage 1: train vision tower and text encoder."""
    from training.stages.contrastive import train_contrastive

    _say(train_contrastive(recipe, material, out, start))


@train.command()
@stage_options
def language(recipe: Any, material: Any, out: Path, start: str | None) -> None:
    """Before stage 2: teach a small language model to write.

    For phantoms only. The model has the sizes of the recipe and begins with nothing.
    """
    from training.stages.language import train_language

    if start is not None:
        raise click.UsageError("it begins with nothing: no --model")
    _say(train_language(recipe, material, out))


@train.command()
@stage_options
def projector(recipe: Any, material: Any, out: Path, start: str | None) -> None:
    """Stage 2: train the projector.

    It connects the vision tower of --model with the language model of the recipe.
    """
    _answers("projector", recipe, material, out, start)


@train.command()
@click.option(
    "--compare",
    type=click.IntRange(min=0),
    default=100,
    help="At the end both models write so many reports of the held-out part; 0 leaves it out.",
)
@stage_options
def finetune(recipe: Any, material: Any, out: Path, start: str | None, compare: int) -> None:
    """Stage 3: train LoRA and projector.

    It begins with the result of stage 2, or with a model that writes. What the recipe does not say
    of vision tower, preprocessing and prompt is as in that model. OUT/comparison says what the run
    has changed.
    """
    from training.commands.before_after import before_and_after

    _answers("finetune", recipe, material, out, start)
    assert start is not None
    before_and_after(material, start, out, compare)


def _answers(name: Any, recipe: Any, material: Any, out: Path, start: str | None) -> None:
    from training.stages.answers import train_answers

    if start is None:
        raise click.UsageError("--model is needed: the one to begin with")
    _say(train_answers(name, recipe, material, out, start))


def _named(model: str | None) -> str | None:
    """The folder of the embedded model, where that is meant."""
    from engine import EMBEDDED

    return str(EMBEDDED) if model == "embedded" else model


def _say(checkpoint: Path) -> None:
    """Let one rank say where the result is."""
    from training.run.launch import launched_rank

    if launched_rank() == 0:
        click.echo(checkpoint)


@train.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
def export(run: Path) -> None:
    """Write the model of a run that was killed.

    RUN/checkpoint is made from the last state of stage 2 or 3.
    """
    from training.export.export import export_run

    click.echo(export_run(run))


@train.command()
@model_option
@click.option(
    "--images",
    type=click.IntRange(min=2),
    default=100,
    help="Phantoms of each plane that are looked at.",
)
def evidence(start: str | None, images: int) -> None:
    """Let a model of phantoms name the slices of its findings.

    Means of phantoms without each finding are written beside the weights of --model, as
    evidence.safetensors. The checkpoint gets another digest.
    """
    from training.export.baselines import keep_baselines

    if start is None:
        raise click.UsageError("--model is needed: the one whose sentences get evidence")
    click.echo(keep_baselines(Path(str(_named(start))), images))


@train.command()
@model_option
@click.option(
    "--images",
    type=click.IntRange(min=3),
    default=900,
    help="Phantoms that are looked at, a third of each grade.",
)
def confidence(start: str | None, images: int) -> None:
    """Let a model of phantoms say how sure it is of its sentences.

    What its confidence is worth is fitted on standard, subtle and hard phantoms, and written
    beside the weights of --model, as calibration.json. The checkpoint gets another digest.
    """
    from training.export.confidence import calibrate_on_phantoms

    if start is None:
        raise click.UsageError("--model is needed: the one whose confidence is calibrated")
    click.echo(calibrate_on_phantoms(Path(str(_named(start))), images))


@train.command()
@recipe_option
@click.option(
    "--stage",
    type=click.Choice(["contrastive", "projector", "finetune"]),
    default="finetune",
    help="Stage to count.",
)
@click.option(
    "--gpus", type=click.IntRange(min=1), default=1, help="Number of GPUs that share the work."
)
@click.option(
    "--device-memory",
    type=float,
    metavar="GIB",
    help="Memory of one GPU, such as 24. If the stage needs more, the exit status is 1.",
)
@model_option
@set_option
def memory(
    recipe: str,
    stage: Any,
    gpus: int,
    device_memory: float | None,
    start: str | None,
    changes: tuple[str, ...],
) -> None:
    """Count the memory that a stage takes on each GPU."""
    from training.memory.account import account
    from training.memory.check import GIB, require_memory, sizes, summary
    from training.recipe.recipe import load_recipe

    start = _named(start)
    loaded = load_recipe(recipe, changes, start)
    config = sizes(loaded, stage, start)
    click.echo(summary(loaded, stage, account(loaded, stage, config, gpus), gpus))
    if device_memory is not None:
        require_memory(loaded, stage, config, gpus, int(device_memory * GIB))
