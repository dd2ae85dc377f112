"""The training commands of `ctscribe`, found through the entry points of pyproject.toml."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from training.data.splits import PARTS

FOLDER = click.Path(file_okay=False, path_type=Path)
EXISTING = click.Path(exists=True, file_okay=False, path_type=Path)
processes_option = click.option(
    "--processes", type=click.IntRange(min=1), default=1, show_default=True
)


def _range(_: click.Context, option: click.Parameter, value: str | None) -> range | None:
    if value is None:
        return None
    first, _colon, last = value.partition(":")
    if not (first.isdecimal() and last.isdecimal() and int(first) < int(last)):
        raise click.BadParameter(f"{value!r} is not first:last", param=option)
    return range(int(first), int(last))


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
@click.argument("out", type=FOLDER)
@click.option("--seeds", callback=_range, help="Of the patients; 1:101 without --recipe.")
@click.option("--recipe", help="Name or file of a recipe: make the store that it trains on.")
@click.option("--train", callback=_range, help="Of a part of the store, in place of the recipe's.")
@click.option("--validation", callback=_range, help="Likewise.")
@click.option("--test", callback=_range, help="Likewise; what is not named is left out then.")
@processes_option
def phantoms(
    out: Path,
    seeds: range | None,
    recipe: str | None,
    processes: int,
    **parts: range | None,
) -> None:
    """Synthetic patients in M3D's raw layout, or with --recipe a training store of them.

    Seeds are first:last, half open.
    """
    named = {part: chosen for part in PARTS if (chosen := parts[part]) is not None}
    if recipe is None:
        if named:
            raise click.UsageError("the parts of a store need --recipe")
        from training.data.phantom_m3d import write_raw

        write_raw(out, seeds or range(1, 101), processes=processes)
    else:
        if seeds is not None:
            raise click.UsageError("--seeds has no part; name it: --train, --validation or --test")
        from training.data.phantoms import write_phantoms
        from training.recipe import load_recipe

        wanted = load_recipe(recipe)
        seeds_of = named or wanted.seeds
        write_phantoms(out, seeds_of, wanted.preprocess_spec, processes=processes)
    click.echo(out)


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
