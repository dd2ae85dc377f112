"""Options that several of the training commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

FOLDER = click.Path(file_okay=False, path_type=Path)
EXISTING = click.Path(exists=True, file_okay=False, path_type=Path)

processes_option = click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    help="Number of processes that work side by side.",
)
set_option = click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of the recipe. May be repeated.",
)
results_option = click.option(
    "-o",
    "--out",
    required=True,
    type=FOLDER,
    help="Folder for the results. A run that was killed goes on in it.",
)
bert_score_option = click.option(
    "--bert-score",
    "bert_score",
    default="roberta-large",
    help="Weights for BERTScore: a folder, or a name in Hugging Face's cache.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object and nothing else."
)


def together(*options: Decorator) -> Decorator:
    """Make one decorator of options that several commands have."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in options:
            command = option(command)
        return command

    return decorate
