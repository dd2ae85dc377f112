"""What the words of `ctscribe prepare site` mean: source, reports, checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click

from dicom_io.cleaned import cleaned_lines
from dicom_io.errors import UnusableData
from dicom_io.model_input.preprocess import PreprocessSpec
from training.site.deidentify.private import read_safe_list
from training.site.prepare import prepare_site
from training.site.redaction.recognizer import load_recognizer
from training.site.reports.hl7 import ACCESSION_FIELD, read_messages
from training.site.reports.reports import SignedReport
from training.site.reports.table import COLUMNS, read_table
from training.site.sources.archives import open_archive
from training.site.sources.folder import FolderSource
from training.site.sources.pace import Hours, Pace
from training.site.sources.source import Query, Source
from training.site.wanted import ReportsFrom, Wanted

TABLES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson")


def run(source: str, out: Path, options: Mapping[str, Any]) -> None:
    """Prepare a site's data set, and say what became of it or how to go on.

    Parameters
    ----------
    source : str
        A folder, or the address of an archive.
    out : Path
        Folder of the data set.
    options : mapping
        Those of `ctscribe prepare site` by their names.

    Raises
    ------
    CtscribeError
        The input or an archive is at fault.
    click.BadParameter
        An option cannot be understood.
    """
    columns, time_format = _columns(options["columns"]), options["time_format"]
    reports_from, reports = read_reports(options["reports"], columns, time_format)
    checkpoint, spec = preprocessing_of(options["model"])
    safe, recognizer = options["keep_private"], options["recognizer"]
    studies = open_source(source)
    if options["processes"] > 1 and not studies.may_be_shared:
        raise click.BadParameter(
            "the archive sends to one port here, which one process listens on: leave it at 1",
            param_hint="--processes",
        )
    wanted = Wanted(
        studies,
        source,
        Query(_day(options["first"]), _day(options["last"]), options["modality"]),
        reports_from=reports_from,
        reports=reports,
        checkpoint=checkpoint,
        spec=spec,
        private=read_safe_list(safe) if safe else (),
        recognizer=load_recognizer(recognizer) if recognizer else None,
        **{
            name: options[name]
            for name in ("limit", "series", "held_out", "seed", "search_pixels", "processes")
        },
    )
    work = options["work"] or out.with_name(f"{out.name}.private")
    pace = Pace(options["rate"], _hours(options["hours"]))
    outcome = prepare_site(wanted, out, work, pace=pace, accept_all=options["accept_all"])
    click.echo(cleaned_lines(outcome.summary()))
    if outcome.review_list:
        click.echo(f"review {outcome.review_list}, then run the same command again")
        click.echo(f"or on a page: ctscribe prepare review {outcome.review_list.parent}")
    else:
        click.echo(f"everything rejected, and why: {out / 'report.json'}")


def _day(moment: datetime | None) -> date | None:
    return moment.date() if moment else None


def _columns(columns: tuple[str, ...]) -> dict[str, str]:
    pairs = [column.partition("=") for column in columns]
    wrong = [what for what, _, name in pairs if what not in COLUMNS or not name]
    if wrong:
        raise click.BadParameter(
            f"{wrong[0]!r}: WHAT=NAME is wanted, WHAT one of {', '.join(COLUMNS)}",
            param_hint="--column",
        )
    return {what: name for what, _, name in pairs}


def _hours(text: str | None) -> Hours | None:
    try:
        return Hours.parse(text) if text else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--hours") from None


def open_source(name: str) -> Source:
    """Make a source of its name.

    Raises
    ------
    UnusableData
        It names none.
    """
    folder = Path(name)
    if folder.is_dir():
        return FolderSource(folder)
    return open_archive(name)


def read_reports(
    name: str, columns: Mapping[str, str], time_format: str | None = None
) -> tuple[ReportsFrom, tuple[SignedReport, ...]]:
    """Read the reports of a table or of messages; "sr" leaves them in the studies.

    Parameters
    ----------
    name : str
        "sr", a table or a folder.
    columns : mapping of str to str
        As `read_table` takes it; of messages the fields.
    time_format : str, optional
        How the times of a table are written.

    Raises
    ------
    UnusableData
        There is no such thing, or it cannot be read.
    """
    if name == "sr":
        return "sr", ()
    path = Path(name)
    if path.is_dir():
        place = columns.get("accession", ACCESSION_FIELD)
        staff = [field for field in columns.get("staff", "").split(",") if field]
        return "hl7", tuple(read_messages(path, place, staff))
    if path.is_file() and path.suffix.lower() in TABLES:
        return "table", tuple(read_table(path, columns, time_format))
    raise UnusableData("--reports is sr, a .csv or .jsonl file, or a folder of HL7 messages")


def preprocessing_of(model: str) -> tuple[str, PreprocessSpec]:
    """Read the name of a checkpoint and its preprocessing; no weight is read.

    Raises
    ------
    EngineError
        There is no checkpoint.
    """
    # torch, which a wrong option does without
    from engine import EMBEDDED
    from engine.checkpoints.checkpoint import describe

    found = describe(EMBEDDED if model == "embedded" else model)
    return f"{found.card.name} {found.card.version}".strip(), found.preprocess
