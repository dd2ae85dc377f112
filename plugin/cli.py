"""The command line. Exit status: 0 done; 1 the input or a peer is at fault; 2 wrong usage."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path
from typing import Literal

import click

from dicom_io.phantoms.phantom import PHASES, PLANES, Phase, Plane
from plugin.command_group import Commands
from plugin.settings import load_settings

config_option = click.option(
    "-c",
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The service's ctscribe.toml; without it the defaults.",
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
    help='"embedded", a checkpoint folder, or OWNER/NAME@COMMIT.',
)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ctscribe", prog_name="ctscribe")
def main() -> None:
    """Draft radiology reports for CT studies, from DICOM to DICOM Structured Report."""
    # They quote odd values of the data set, a birth date among them
    warnings.filterwarnings("ignore", module=r"pydicom\.")


@main.command()
@click.option(
    "-o",
    "--out",
    default=Path("demo-output"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
)
@click.option("--seed", default=7, show_default=True, help="Which phantom patient.")
def demo(out: Path, seed: int) -> None:
    """Phantom CT study, C-STORE, embedded model, draft SR: all on this machine."""
    from plugin.commands.demo import run_demo

    run_demo(out, seed)


@main.command()
@config_option
def serve(config: Path | None) -> None:
    """Run receiver and worker under one supervisor."""
    from plugin.supervisor import supervise

    settings = load_settings(config)
    configure_logging()
    where = [] if config is None else ["-c", str(config)]
    supervise(
        [["receive", *where]] * settings.receiver.processes
        + [["work", *where]] * settings.worker.processes
    )


@main.command()
@config_option
def receive(config: Path | None) -> None:
    """Run the DICOM listener alone."""
    from plugin.assembly import run_receiver

    configure_logging()
    run_receiver(load_settings(config))


@main.command()
@config_option
def work(config: Path | None) -> None:
    """Run a worker alone: drafts for complete studies, and their delivery."""
    from plugin.assembly import run_worker

    configure_logging()
    run_worker(load_settings(config))


@main.command()
@config_option
def engine(config: Path | None) -> None:
    """Run the model as an HTTP server, for workers on other hosts."""
    from plugin.assembly import run_engine

    configure_logging()
    run_engine(load_settings(config))


@main.command()
@paths_argument
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the SR files.",
)
@model_option
@click.option("--device", default="auto", show_default=True)
@json_option
def report(paths: tuple[Path, ...], out: Path, model: str, device: str, as_json: bool) -> None:
    """Draft the report of each study in PATHS (files or folders), without network."""
    from plugin.commands.report import report_studies

    sys.exit(report_studies(paths, out, model=model, device=device, as_json=as_json))


@main.command()
@paths_argument
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The NIfTI file to write (.nii or .nii.gz).",
)
@click.option("--model-input", is_flag=True, help="Write what the model sees instead of HU.")
@model_option
def volume(paths: tuple[Path, ...], out: Path, model_input: bool, model: str) -> None:
    """Write the volume that is built from the study in PATHS as NIfTI."""
    if not out.name.endswith((".nii", ".nii.gz")):
        raise click.BadParameter(f"{out} does not end in .nii or .nii.gz", param_hint="-o")
    from plugin.commands.report import export_volume

    export_volume(paths, out, model=model if model_input else None)


@main.command()
@paths_argument
@click.argument("question")
@click.option("--choice", "choices", multiple=True, help="A possible answer; twice or more.")
@model_option
@click.option("--device", default="auto", show_default=True)
@json_option
def ask(
    paths: tuple[Path, ...],
    question: str,
    choices: tuple[str, ...],
    model: str,
    device: str,
    as_json: bool,
) -> None:
    """Answer QUESTION about the study in PATHS (files or folders), without network."""
    if len(choices) == 1:
        raise click.UsageError("a closed question has two or more --choice")
    from plugin.commands.ask import ask_study

    ask_study(paths, question, choices, model=model, device=device, as_json=as_json)


@main.command()
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the study, made if it is missing.",
)
@click.option("--seed", required=True, type=int, help="Which phantom patient.")
@click.option("--plane", type=click.Choice(PLANES), help="Of the slices, in place of a random one.")
@click.option("--phase", type=click.Choice(PHASES), help="Of the contrast, likewise.")
@click.option("--focal", is_flag=True, help="Plant nodules, lesions, cysts and aneurysms too.")
def phantom(out: Path, seed: int, plane: Plane | None, phase: Phase | None, focal: bool) -> None:
    """Write a synthetic CT study as DICOM, with its ground truth as JSON beside it."""
    from dicom_io.phantoms.dicom_study import write_study
    from dicom_io.phantoms.phantom import make_phantom

    made = make_phantom(seed, plane=plane, phase=phase, focal=focal)
    click.echo(write_study(made, out))


@main.command()
@click.argument("study", required=False)
@config_option
@json_option
def status(study: str | None, config: Path | None, as_json: bool) -> None:
    """Say what happened to STUDY (accession number or UID), or list the latest studies."""
    from plugin.commands.status import print_studies, print_timeline

    settings = load_settings(config)
    if study is None:
        print_studies(settings.storage.database_url, as_json=as_json)
    else:
        print_timeline(settings.storage.database_url, study, as_json=as_json)


@main.command()
@click.argument("destination")
@config_option
def redeliver(destination: str, config: Path | None) -> None:
    """Send DESTINATION the current drafts that it refused, once it is mended."""
    from plugin.assembly import requeue

    count = requeue(load_settings(config), destination)
    click.echo(f"{count} drafts are due again at {destination}")


@main.command()
@config_option
@json_option
def doctor(config: Path | None, as_json: bool) -> None:
    """Check ports, peers, disk, database and model, and print what to change."""
    from plugin.commands.doctor import examine

    sys.exit(examine(load_settings(config), as_json=as_json))


@main.group()
def model() -> None:
    """Look at checkpoints, convert them, count what models cost."""


@model.command()
@click.argument("checkpoint")
@json_option
def info(checkpoint: str, as_json: bool) -> None:
    """Say what CHECKPOINT is (folder, file, or OWNER/NAME@COMMIT on the hub)."""
    from plugin.commands.model import print_info

    sys.exit(print_info(checkpoint, as_json=as_json))


@model.command()
@click.argument("checkpoint")
@click.option(
    "--dtype",
    default="bfloat16",
    show_default=True,
    type=click.Choice(["float32", "bfloat16", "float16"]),
)
@click.option(
    "--quantization",
    default="none",
    show_default=True,
    type=click.Choice(["none", "int8", "nf4"]),
    help="Of the language model's layers.",
)
@click.option(
    "--texts",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Studies in a batch, or samples of one.",
)
@click.option("--new-tokens", default=256, show_default=True, type=click.IntRange(1))
@json_option
def memory(
    checkpoint: str,
    dtype: str,
    quantization: Literal["none", "int8", "nf4"],
    texts: int,
    new_tokens: int,
    as_json: bool,
) -> None:
    """Count the memory that CHECKPOINT takes, by part; "published" needs no weights."""
    from plugin.commands.model import print_memory

    print_memory(
        checkpoint,
        dtype=dtype,
        quantization=quantization,
        texts=texts,
        new_tokens=new_tokens,
        as_json=as_json,
    )


@model.command()
@click.argument("checkpoint")
@click.argument("target", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--with",
    "parts",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Put a loose file of the authors' training over its weights; may be repeated.",
)
@click.option("--lora-alpha", type=float, help="Where no adapter_config.json states it.")
@json_option
def convert(
    checkpoint: str,
    target: Path,
    parts: tuple[Path, ...],
    lora_alpha: float | None,
    as_json: bool,
) -> None:
    """Write CHECKPOINT to TARGET: a published one as native, a native one as it was published."""
    from plugin.commands.model import print_conversion

    print_conversion(checkpoint, target, parts, lora_alpha=lora_alpha, as_json=as_json)


@model.command()
@json_option
def tables(as_json: bool) -> None:
    """Count what the paper's tables 9 and 12 count, for every variant, and compare."""
    from plugin.commands.model_sizes import print_tables

    print_tables(as_json=as_json)


def configure_logging() -> None:
    """One line an event on standard error; the libraries only when something is wrong."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    services = ("pynetdicom", "pydicom", "highdicom", "httpx", "alembic", "uvicorn")
    for library in (*services, "transformers", "bitsandbytes"):
        logging.getLogger(library).setLevel(logging.ERROR)
