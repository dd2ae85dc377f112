"""`ctscribe train`: the stages of the paper, in one process or in many."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click


@click.group()
def train() -> None:
    """Train a model stage by stage, as a recipe says.

    The data are a store that `ctscribe prepare` made.
    """
    # PEFT imports it, and it warns of a kernel for CPUs that nothing here needs
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def stage_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a stage the options that all have; it gets recipe, material, out and start."""

    @click.option("--recipe", required=True, help="paper, authors, site, phantom, or a TOML file.")
    @click.option("--data", required=True, type=click.Path(path_type=Path), help="The store.")
    @click.option("-o", "--out", required=True, type=click.Path(file_okay=False, path_type=Path))
    @click.option("--model", "start", help="The model to begin with.")
    @click.option("--split", type=click.Choice(["grouped", "paper"]))
    @click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Of the recipe.")
    @wraps(command)
    def prepared(
        recipe: str,
        data: Path,
        out: Path,
        start: str | None,
        split: str | None,
        changes: tuple[str, ...],
    ) -> None:
        from training.learner.material import open_material
        from training.recipe.recipe import load_recipe

        loaded = load_recipe(recipe, changes)
        command(loaded, open_material(loaded, data, split), out, start)

    return prepared


@train.command()
@stage_options
def contrastive(recipe: Any, material: Any, out: Path, start: str | None) -> None:
    """Stage 1: image and text encoder. The pair ends up in OUT/checkpoint."""
    from training.stages.contrastive import train_contrastive

    _say(train_contrastive(recipe, material, out, start))


@train.command()
@stage_options
def language(recipe: Any, material: Any, out: Path, start: str | None) -> None:
    """Before stage 2, on phantoms: a language model of the recipe's sizes learns to write."""
    from training.stages.language import train_language

    if start is not None:
        raise click.UsageError("it begins with nothing: no --model")
    _say(train_language(recipe, material, out))


@train.command()
@stage_options
def projector(recipe: Any, material: Any, out: Path, start: str | None) -> None:
    """Stage 2: the projector, between the vision tower of --model and the recipe's LLM."""
    _answers("projector", recipe, material, out, start)


@train.command()
@stage_options
def finetune(recipe: Any, material: Any, out: Path, start: str | None) -> None:
    """Stage 3: LoRA and projector, from stage 2's checkpoint or published weights."""
    _answers("finetune", recipe, material, out, start)


def _answers(name: Any, recipe: Any, material: Any, out: Path, start: str | None) -> None:
    from training.stages.answers import train_answers

    if start is None:
        raise click.UsageError("--model is needed: the one to begin with")
    _say(train_answers(name, recipe, material, out, start))


def _say(checkpoint: Path) -> None:
    """Let one rank say where the result is."""
    from training.run.launch import launched_rank

    if launched_rank() == 0:
        click.echo(checkpoint)


@train.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
def export(run: Path) -> None:
    """Write RUN/checkpoint from the last state of stage 2 or 3, which may have been killed."""
    from training.export.export import export_run

    click.echo(export_run(run))


@train.command()
@click.option("--recipe", required=True, help="paper, authors, site, phantom, or a TOML file.")
@click.option(
    "--stage", type=click.Choice(["contrastive", "projector", "finetune"]), default="finetune"
)
@click.option("--gpus", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--device-memory", type=float, metavar="GIB", help="Of one GPU, e.g. 24.")
@click.option("--model", "start", help="The model to begin with.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Of the recipe.")
def memory(
    recipe: str,
    stage: Any,
    gpus: int,
    device_memory: float | None,
    start: str | None,
    changes: tuple[str, ...],
) -> None:
    """Count the memory a stage takes on each GPU; say what to change where it is too much."""
    from training.memory.account import account
    from training.memory.check import GIB, require_memory, sizes, summary
    from training.recipe.recipe import load_recipe

    loaded = load_recipe(recipe, changes)
    config = sizes(loaded, stage, start)
    click.echo(summary(loaded, stage, account(loaded, stage, config, gpus), gpus))
    if device_memory is not None:
        require_memory(loaded, stage, config, gpus, int(device_memory * GIB))
