"""The training commands of `ctscribe`, found through the entry points of pyproject.toml."""

from __future__ import annotations

import sys
from pathlib import Path

import click

FOLDER = click.Path(file_okay=False, path_type=Path)
EXISTING = click.Path(exists=True, file_okay=False, path_type=Path)
processes_option = click.option(
    "--processes", type=click.IntRange(min=1), default=1, show_default=True
)


@click.group()
def prepare() -> None:
    """Make training data: a store of model inputs, reports and questions."""


@prepare.command()
@click.argument("raw", type=EXISTING)
@click.argument("out", type=FOLDER)
@click.option(
    "--size",
    nargs=3,
    type=click.IntRange(min=1),
    default=(128, 256, 256),
    show_default=True,
    help="Depth, height and width of the model's input.",
)
@click.option(
    "--held-out",
    type=click.FloatRange(0, 0.3, min_open=True),
    default=0.05,
    show_default=True,
    help="Fraction of the grouped split that goes to validation, and to test.",
)
@click.option("--seed", default=0, show_default=True, help="Of the grouped split.")
@processes_option
def m3d(
    raw: Path, out: Path, size: tuple[int, int, int], held_out: float, seed: int, processes: int
) -> None:
    """M3D as it is downloaded (RAW) → a training store (OUT). Run it again to go on."""
    from dicom_io.preprocess import PreprocessSpec
    from training.data.prepare import prepare_m3d

    spec = PreprocessSpec(size=size)
    report = prepare_m3d(raw, out, spec=spec, processes=processes, held_out=held_out, seed=seed)
    click.echo(report.summary())
    click.echo(f"everything rejected, and why: {out / 'report.json'}")


@prepare.command()
@click.argument("raw", type=FOLDER)
@click.option("--seeds", default="1:101", show_default=True, help="first:last, half open.")
@processes_option
def phantoms(raw: Path, seeds: str, processes: int) -> None:
    """Synthetic patients as a data set in M3D's raw layout, for `prepare m3d`."""
    from training.data.phantom_m3d import write_raw

    first, _, last = seeds.partition(":")
    if not (first.isdecimal() and last.isdecimal() and int(first) < int(last)):
        raise click.BadParameter(f"{seeds!r} is not first:last", param_hint="--seeds")
    write_raw(raw, range(int(first), int(last)), processes=processes)
    click.echo(raw)


@prepare.command()
@click.argument("store", type=EXISTING)
def verify(store: Path) -> None:
    """Read a STORE again: digests, reports, and that its splits do not leak."""
    from training.data.store import verify

    faults = list(verify(store))
    for fault in faults:
        click.echo(fault)
    click.echo(f"{len(faults)} faults" if faults else "sound")
    sys.exit(1 if faults else 0)
