"""The training commands of `ctscribe`, found through the entry points of pyproject.toml."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from dicom_io.cleaned import cleaned_lines
from dicom_io.counted import counted
from training.commands.options import EXISTING, FOLDER, processes_option
from training.data.splits import PARTS

DAY = click.DateTime(["%Y-%m-%d"])
held_out_option = click.option(
    "--held-out",
    type=click.FloatRange(0, 0.3, min_open=True),
    default=0.05,
    help="Fraction of the cases that go to validation; as many go to test. For the split grouped.",
)
seed_option = click.option(
    "--seed", default=0, help="Decides which cases are held out. For the split grouped."
)

PART_HELP = "If you name one part, only the parts that you name are made."


def seed_range(_: click.Context, option: click.Parameter, value: str | None) -> range | None:
    """Read an option `first:last`, half open."""
    if value is None:
        return None
    first, _colon, last = value.partition(":")
    if not (first.isdecimal() and last.isdecimal() and int(first) < int(last)):
        raise click.BadParameter(f"{value!r} is not first:last", param=option)
    return range(int(first), int(last))


@click.group(context_settings={"show_default": True})
def prepare() -> None:
    """Make training data of M3D, phantoms or a hospital's studies."""


@prepare.command()
@click.argument("raw", type=EXISTING)
@click.argument("out", type=FOLDER)
@click.option(
    "--size",
    nargs=3,
    type=click.IntRange(min=1),
    default=(128, 256, 256),
    help="Depth, height and width of the model's input.",
)
@held_out_option
@seed_option
@processes_option
def m3d(
    raw: Path, out: Path, size: tuple[int, int, int], held_out: float, seed: int, processes: int
) -> None:
    """Make a training store of the data set M3D.

    RAW is the folder with the download, OUT the store. A run that was killed goes on when you call
    it again.
    """
    from dicom_io.model_input.preprocess import PreprocessSpec
    from training.data.prepare import prepare_m3d

    spec = PreprocessSpec(size=size)
    report = prepare_m3d(raw, out, spec=spec, processes=processes, held_out=held_out, seed=seed)
    click.echo(cleaned_lines(report.summary()))
    click.echo(f"everything rejected, and why: {out / 'report.json'}")


@prepare.command()
@click.argument("out", type=FOLDER)
@click.option(
    "--seeds",
    callback=seed_range,
    help="Patients, without --recipe: FIRST:LAST, the last not included.  [default: 1:101]",
)
@click.option("--recipe", help="Make the training store of this recipe: a name, or a TOML file.")
@click.option("--train", callback=seed_range, help=f"Patients to train on. {PART_HELP}")
@click.option("--validation", callback=seed_range, help=f"Patients for validation. {PART_HELP}")
@click.option("--test", callback=seed_range, help=f"Patients to test on. {PART_HELP}")
@processes_option
def phantoms(
    out: Path,
    seeds: range | None,
    recipe: str | None,
    processes: int,
    **parts: range | None,
) -> None:
    """Make synthetic patients, with reports and questions.

    OUT gets the raw layout of M3D, or with --recipe a training store. A patient is a seed. Ranges
    of seeds are FIRST:LAST, the last not included.
    """
    named = {part: chosen for part in PARTS if (chosen := parts[part]) is not None}
    if recipe is None:
        if named:
            raise click.UsageError("the parts of a store need --recipe")
        from training.data.phantoms.m3d import write_raw

        write_raw(out, seeds or range(1, 101), processes=processes)
    else:
        if seeds is not None:
            raise click.UsageError("--seeds has no part; name it: --train, --validation or --test")
        from training.data.phantoms.prepare import write_phantoms
        from training.recipe.recipe import load_recipe

        wanted = load_recipe(recipe)
        of_parts = named or wanted.seeds
        if not of_parts:
            raise click.UsageError(f"recipe {wanted.name} names no seeds: --train, --test")
        write_phantoms(out, of_parts, wanted.preprocess_spec, kind=wanted.kind, processes=processes)
    click.echo(out)


@prepare.command()
@click.argument("source")
@click.argument("out", type=FOLDER)
@click.option("--from", "first", type=DAY, help="Take studies from this day on.")
@click.option("--to", "last", type=DAY, help="Take studies up to this day.")
@click.option("--modality", default="CT", help="Modality to look for.")
@click.option("--limit", type=click.IntRange(min=1), help="Take at most so many studies.")
@click.option(
    "--reports",
    default="sr",
    help='Where reports are: "sr" (in the studies), a .csv or .jsonl file, a folder of HL7 files.',
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="WHAT=NAME",
    help="Column or field that holds WHAT: accession, text, patient, status, written, addendum, or "
    "staff (several with commas).",
)
@click.option(
    "--time-format",
    help='How the times of a table are written, such as "%d/%m/%Y %H:%M". Found out where every '
    "row can be read in one way only.",
)
@click.option("--model", default="embedded", help="Prepare inputs as this model needs them.")
@click.option(
    "--series",
    type=click.Choice(["best", "all"]),
    default="best",
    help="The series that the service would draft from, or every usable one.",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Fetch at most so many studies a minute.",
)
@click.option("--hours", metavar="20:00-06:00", help="Fetch only within these hours of local time.")
@click.option(
    "--work",
    type=FOLDER,
    help="Folder for the key and everything that names patients.  [default: OUT.private]",
)
@click.option(
    "--search-pixels/--no-search-pixels",
    default=True,
    help="Refuse series in which text can be read, such as a burned-in name.",
)
@click.option("--accept-all", is_flag=True, help="Build without a review of the changes.")
@click.option(
    "--keep-private",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of private elements to keep, one a line: 0019,xx23 GEMS_ACQU_01. Only numbers.",
)
@click.option(
    "--recognizer",
    metavar="MODEL",
    help="spaCy pipeline that also looks for names: an installed package, or a folder.",
)
@processes_option
@held_out_option
@seed_option
def site(source: str, out: Path, **options: Any) -> None:
    """Make a de-identified training store of your own studies.

    SOURCE is a folder of DICOM files, or an archive: orthanc+http://HOST:PORT,
    dicomweb+https://HOST/ROOT or dimse://TITLE@HOST:PORT. The first call collects studies and
    writes a list of changes for you to review. The next call builds the store OUT. A run that was
    killed goes on when you call it again.
    """
    from training.site.command import run

    run(source, out, options)


@prepare.command()
@click.argument("work", type=EXISTING)
@click.option("--reviewer", help="Name for the data card.  [default: who is logged in]")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="On 127.0.0.1; 0 takes a free one."
)
def review(work: Path, reviewer: str | None, port: int) -> None:
    """Review the changes to your reports on a page of this machine.

    WORK is the working folder of `prepare site`. The page listens on 127.0.0.1 only. The address
    that is printed opens it once.
    """
    import getpass

    from training.site.reviewing.page import serve

    serve(work, reviewer or getpass.getuser(), port)


@prepare.command()
@click.option(
    "--recognizer",
    metavar="MODEL",
    help="spaCy pipeline to ask besides: an installed package, or a folder.",
)
@click.option("--sentences", is_flag=True, help="Also print each sentence that is not right.")
def rules(recognizer: str | None, sentences: bool) -> None:
    """Measure the rules of de-identification on invented sentences.

    For each language it prints how many identifiers are found, and how many words are lost that
    should stay.
    """
    from training.site.redaction.measured import faults, measure, table
    from training.site.redaction.recognizer import load_recognizer

    asked = [load_recognizer(recognizer)] if recognizer else []
    for line in (*(faults(asked) if sentences else ()), *table(measure(asked))):
        click.echo(line)


@prepare.command()
@click.argument("store", type=EXISTING)
@click.option(
    "--work",
    type=EXISTING,
    help="Working folder of `prepare site`: search every byte for the values that it knows.",
)
def verify(store: Path, work: Path | None) -> None:
    """Read a store again and check it.

    Checked are digests, reports, that no two parts share a case, and, for a store of `prepare
    site`, that it names nobody.
    """
    from training.data.store import open_store, verify

    if open_store(store).header.source == "site":
        from training.site.verify import faults as faults_of_site

        faults = list(faults_of_site(store, work))
    elif work is not None:
        raise click.BadParameter("only a store of `prepare site` has one", param_hint="--work")
    else:
        faults = list(verify(store))
    for fault in faults:
        click.echo(cleaned_lines(fault))
    click.echo(counted(len(faults), "fault") if faults else "sound")
    sys.exit(1 if faults else 0)
