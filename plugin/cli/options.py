"""The options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)

config_option = click.option(
    "-c",
    "--config",
    type=FILE,
    help="The service's settings file. Without it, every setting has its default.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object and nothing else."
)
paths_argument = click.argument(
    "paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)
)
model_option = click.option(
    "--model",
    default="embedded",
    show_default=True,
    help='The model: "embedded", a checkpoint folder, or OWNER/NAME@COMMIT on the hub.',
)
device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    help="Where the model runs: cpu, cuda or cuda:1. With auto, on a GPU if there is one.",
)
seed_help = "Number of the phantom patient. The same number gives the same study."
