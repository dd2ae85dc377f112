"""The words of the commands about drafts that there are: again, elsewhere, or no more."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dicom_io.counted import counted
from plugin.cli.options import config_option
from plugin.settings import load_settings

if TYPE_CHECKING:
    from plugin.delivery.redelivery import Selection

SINCE = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"])
reason_option = click.option(
    "--reason", default="", help="Why: for the audit trail, which may name a patient."
)


def selection_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add what says which drafts are meant."""
    options = (
        click.argument("destination", required=False),
        click.option("--study", help="Accession number or Study Instance UID."),
        click.option("--draft", help="SOP Instance UID of a draft."),
        click.option(
            "--since",
            type=SINCE,
            help="Drafts written since this day, or minute, in local time.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@selection_options
@config_option
def redeliver(config: Path | None, **which: Any) -> None:
    """Deliver drafts again, or all that wait for a destination.

    DESTINATION is its name in the settings: the drafts that it refused, and those that wait for
    it, are due at once. Of a study, a draft or a time, drafts that were delivered are looked for
    again, too, and sent where they are missing.
    """
    from plugin.administration.deliveries import redeliver as deliver_again
    from plugin.assembly import passing_sessions
    from plugin.state.audit import this_person

    selection = _selection(**which)
    if not (selection.destination or selection.names_drafts):
        raise click.UsageError("name a destination, --study, --draft or --since")
    settings = load_settings(config)
    with passing_sessions(settings) as sessions:
        count = deliver_again(settings, sessions, selection, this_person())
    where = f" at {selection.destination}" if selection.destination else ""
    click.echo(f"{counted(count, 'draft is', 'drafts are')} due again{where}")


@click.command()
@selection_options
@config_option
def verify(config: Path | None, **which: Any) -> None:
    """Look again for delivered drafts, as after a restore.

    Without DESTINATION, at all of them. A draft that is missing is sent again by the worker.
    """
    from dicom_io.archives.proving.proof import STANDING
    from plugin.assembly import verify as look_again

    looked = list(look_again(load_settings(config), _selection(**which)))
    astray = [one for one in looked if one[-1] not in STANDING]
    for uid, destination, verdict in astray:
        click.echo(f"{uid} at {destination}: {verdict.value}")
    click.echo(
        f"{counted(len(looked), 'draft')} looked for, {len(astray)} not found where they belong"
    )
    sys.exit(1 if astray else 0)


def _selection(
    destination: str | None, study: str | None, draft: str | None, since: datetime | None
) -> Selection:
    from plugin.delivery.redelivery import Selection

    return Selection(destination, study, draft, since and since.astimezone())


@click.command()
@click.argument("study")
@reason_option
@config_option
def redraft(study: str, reason: str, config: Path | None) -> None:
    """Have a new draft of a study made.

    STUDY is its accession number or Study Instance UID. The images that are here are read again,
    even if they are those of the present draft.
    """
    from plugin.administration.drafts import redraft as draft_again
    from plugin.assembly import passing_sessions
    from plugin.state.audit import this_person
    from plugin.workplace import patience_of

    settings = load_settings(config)
    with passing_sessions(settings) as sessions:
        uid = draft_again(sessions, study, patience_of(settings), this_person(), reason)
    click.echo(f"study {uid} is drafted again")


@click.command()
@click.argument("study")
@reason_option
@config_option
def retract(study: str, reason: str, config: Path | None) -> None:
    """Take the present draft of a study back.

    STUDY is its accession number or Study Instance UID. A draft that waits is not sent. Where
    destinations take rejection notes, it is rejected; elsewhere a person must remove it.
    """
    from plugin.administration.drafts import retract as take_back
    from plugin.assembly import open_spool, passing_sessions
    from plugin.state.audit import this_person
    from plugin.workplace import taking_notes

    settings = load_settings(config)
    with passing_sessions(settings) as sessions:
        notes, spool = taking_notes(settings), open_spool(settings)
        taken = take_back(sessions, spool, study, notes, this_person(), reason)
    told = f"; rejection note to {', '.join(taken.where.told)}" if taken.where.told else ""
    by_hand = taken.where.by_hand
    hand = f"; remove by hand at {', '.join(by_hand)}" if by_hand else ""
    click.echo(f"draft {taken.revision} is retracted{told}{hand}")


COMMANDS = (redeliver, verify, redraft, retract)
