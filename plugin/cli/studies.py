"""The words of the commands that take a study's files, or make one; all work without network."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from dicom_io.phantoms.truth import PHASES, PLANES, Phase, Plane
from plugin.cli.options import (
    FILE,
    FOLDER,
    device_option,
    json_option,
    model_option,
    paths_argument,
    seed_help,
)


@click.command()
@paths_argument
@click.option("-o", "--out", required=True, type=FOLDER, help="Folder for the report files.")
@model_option
@device_option
@json_option
def report(paths: tuple[Path, ...], out: Path, model: str, device: str, as_json: bool) -> None:
    """Draft the report of each study in PATHS.

    PATHS are DICOM files or folders. A report is written as a DICOM Structured Report, and its text
    is printed. No network is used.
    """
    from plugin.commands.report import report_studies

    sys.exit(report_studies(paths, out, model=model, device=device, as_json=as_json))


@click.command()
@paths_argument
@click.option("-o", "--out", required=True, type=FILE, help="The file to write (.nii or .nii.gz).")
@click.option(
    "--model-input", is_flag=True, help="Write what the model sees instead of Hounsfield units."
)
@model_option
def volume(paths: tuple[Path, ...], out: Path, model_input: bool, model: str) -> None:
    """Write the volume built from a study as NIfTI.

    PATHS are the DICOM files or folders of one study.
    """
    if not out.name.endswith((".nii", ".nii.gz")):
        raise click.BadParameter(f"{out} does not end in .nii or .nii.gz", param_hint="-o")
    from plugin.commands.report import export_volume

    export_volume(paths, out, model=model if model_input else None)


@click.command()
@paths_argument
@click.argument("question")
@click.option(
    "--choice",
    "choices",
    multiple=True,
    help="A possible answer. Give two or more to let the model choose among them.",
)
@model_option
@device_option
@json_option
def ask(
    paths: tuple[Path, ...],
    question: str,
    choices: tuple[str, ...],
    model: str,
    device: str,
    as_json: bool,
) -> None:
    """Ask the model a question about a study.

    PATHS are the DICOM files or folders of one study. No network is used.
    """
    if len(choices) == 1:
        raise click.UsageError("a closed question has two or more --choice")
    from plugin.commands.ask import ask_study

    ask_study(paths, question, choices, model=model, device=device, as_json=as_json)


@click.command()
@click.option(
    "-o", "--out", required=True, type=FOLDER, help="Folder for the study. Made if it is missing."
)
@click.option("--seed", required=True, type=int, help=seed_help)
@click.option(
    "--plane", type=click.Choice(PLANES), help="Plane of the slices. Without it, the seed chooses."
)
@click.option(
    "--phase", type=click.Choice(PHASES), help="Contrast phase. Without it, the seed chooses."
)
@click.option("--focal", is_flag=True, help="Plant nodules, lesions, cysts and aneurysms too.")
@click.option(
    "--detailed",
    is_flag=True,
    help="Make a phantom more like CT: more anatomy, findings, look-alikes, scanners and regions. "
    "The embedded model does not know these.",
)
def phantom(
    out: Path, seed: int, plane: Plane | None, phase: Phase | None, focal: bool, detailed: bool
) -> None:
    """Write a synthetic CT study as DICOM.

    A JSON file beside the slices says what was planted in the patient.
    """
    from dicom_io.phantoms.detailed.phantom import make_detailed_phantom
    from dicom_io.phantoms.dicom_study import write_study
    from dicom_io.phantoms.phantom import make_phantom

    if focal and detailed:
        raise click.UsageError("--detailed plants focal findings anyway: leave out --focal")
    if detailed:
        made = make_detailed_phantom(seed, plane=plane, phase=phase)
    else:
        made = make_phantom(seed, plane=plane, phase=phase, focal=focal)
    click.echo(write_study(made, out))


COMMANDS = (report, volume, ask, phantom)
