"""`ctscribe train`: the stages of the paper, in one process or in many."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click


@click.group()
def train() -> None:
    """Train a model: the paper's stages, by a recipe, from a store of `ctscribe prepare`."""


def stage_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a stage the options that all have; it gets recipe, material, out and start."""

    @click.option("--recipe", required=True, help="paper, authors, site, or a TOML file.")
    @click.option("--data", required=True, type=click.Path(path_type=Path), help="The store.")
    @click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path))
    @click.option("--from", "start", help="The checkpoint to begin with.")
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
        from training.recipe import load_recipe
        from training.stages.material import open_material

        loaded = load_recipe(recipe, changes)
        command(loaded, open_material(loaded, data, split), out, start)

    return prepared


@train.command()
@stage_options
def contrastive(recipe: Any, material: Any, out: Path, start: str | None) -> None:
    """Stage 1: image and text encoder. The pair ends up in OUT/checkpoint."""
    from training.stages.contrastive import train_contrastive

    click.echo(train_contrastive(recipe, material, out, start))
