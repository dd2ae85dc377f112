"""The words of `ctscribe feedback`."""

from __future__ import annotations

from pathlib import Path

import click

from plugin.cli.options import config_option, json_option
from plugin.settings import load_settings

FILE = click.Path(dir_okay=False, path_type=Path)
since_option = click.option(
    "--since", help="Drafts since this day (2026-11-21), or so long ago (30d, 12h)."
)


@click.group()
def feedback() -> None:
    """Compare drafts with what radiologists signed."""


@feedback.command()
@click.option("--from", "archive", metavar="NAME", help="Archive of the settings to ask for SRs.")
@click.option(
    "--reports",
    type=click.Path(exists=True, path_type=Path),
    help="A .csv or .jsonl table, or a folder of HL7 messages, in place of an archive.",
)
@click.option("--reading-room", is_flag=True, help="Take what was accepted in the reading room.")
@click.option("--time-format", help='How the times of a table are written, such as "%d/%m/%Y".')
@since_option
@click.option(
    "--after", default="1d", show_default=True, help="Leave drafts that are younger than this."
)
@config_option
@json_option
def fetch(
    archive: str | None,
    reports: Path | None,
    reading_room: bool,
    time_format: str | None,
    since: str | None,
    after: str,
    config: Path | None,
    as_json: bool,
) -> None:
    """Fetch the signed report of each drafted study.

    Drafts whose report is known already are not asked for again. Run it once a day.
    """
    from plugin.commands.feedback import Source, fetch_signed

    if sum((archive is not None, reports is not None, reading_room)) != 1:
        raise click.UsageError(
            "name an archive (--from), a place of reports (--reports), or --reading-room"
        )
    where = Source(archive, reports, time_format)
    fetch_signed(load_settings(config), where, since, after, as_json=as_json)


@feedback.command()
@since_option
@click.option("--html", type=FILE, help="Write a page for people to this file.")
@click.option("--csv", "table", type=FILE, help="Write a table, a finding a row, to this file.")
@config_option
@json_option
def report(
    since: str | None, html: Path | None, table: Path | None, config: Path | None, as_json: bool
) -> None:
    """Sum up agreement by model and month.

    What the draft asserted and the signed report does not was invented; what only the signed report
    asserts was missed; another side or size was changed.
    """
    from plugin.commands.feedback import print_months

    print_months(load_settings(config), since, html, table, as_json=as_json)


@feedback.command(context_settings={"ignore_unknown_options": True})
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@config_option
def prepare(out: Path, options: tuple[str, ...], config: Path | None) -> None:
    """Make the signed reports and their images a training set.

    This is `ctscribe prepare site` on what the service has received, with the signed reports that
    `fetch` has kept. OPTIONS are that command's own.
    """
    from plugin.commands.feedback import prepare_pairs

    prepare_pairs(load_settings(config), out, options)
