"""The words of the commands that run the service and look after it."""

from __future__ import annotations

import logging
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from plugin.cli.options import FOLDER, config_option, json_option, seed_help
from plugin.commands.files import FILES, content, listing
from plugin.console import LogLine
from plugin.settings import load_settings

if TYPE_CHECKING:
    pass


@click.command()
@click.option(
    "-o",
    "--out",
    default=Path("demo-output"),
    show_default=True,
    type=FOLDER,
    help="Folder for the study, the draft and the log. An earlier demo there is deleted.",
)
@click.option("--seed", default=7, show_default=True, help=seed_help)
@click.option(
    "--no-browser",
    is_flag=True,
    help="End once the draft is delivered, as it does where no terminal is or no page was built.",
)
def demo(out: Path, seed: int, no_browser: bool) -> None:
    """Try the whole service on this machine with a phantom study.

    The study is sent over the network to the service, the embedded model drafts its report, and
    the report is delivered to a small archive. Then the draft's page opens in a browser. Nothing
    leaves this machine.
    """
    from plugin.commands.demonstration.demo import run_demo
    from plugin.web.pages import built_pages

    browse = not no_browser and sys.stdout.isatty() and built_pages() is not None
    run_demo(out, seed, browse=browse)


@click.command()
@config_option
def serve(config: Path | None) -> None:
    """Run the whole service.

    It is the receiver, workers, delivery, upkeep, and the reading room where it is enabled.
    """
    from plugin.assembly import alert
    from plugin.state.kinds import Kind
    from plugin.state.running.pulse import alone, last_beat
    from plugin.supervisor import supervise

    settings = load_settings(config)
    configure_logging()
    where = [] if config is None else ["-c", str(config)]
    with alone(settings.storage.spool):
        supervise(
            [["receive", *where]] * settings.receiver.processes
            + [["work", *where]] * settings.worker.processes
            + [["deliver", *where], ["upkeep", *where]]
            + [["web", *where]] * settings.web.enabled,
            last_beat=partial(last_beat, settings.storage.spool),
            report=partial(alert, settings, Kind.REPLACED),
        )


@click.command()
@config_option
def receive(config: Path | None) -> None:
    """Run only the DICOM receiver."""
    from plugin.assembly import run_receiver

    configure_logging()
    run_receiver(load_settings(config))


@click.command()
@config_option
def work(config: Path | None) -> None:
    """Run only a worker: it drafts reports and delivers them."""
    from plugin.assembly import run_worker

    configure_logging()
    run_worker(load_settings(config), path=config)


@click.command()
@config_option
def deliver(config: Path | None) -> None:
    """Run only delivery, which goes on while no worker lives.

    Workers deliver as well.
    """
    from plugin.assembly import run_delivery

    configure_logging()
    run_delivery(load_settings(config))


@click.command()
@config_option
def upkeep(config: Path | None) -> None:
    """Run only what looks after the service.

    One such process is enough for all hosts of a service.
    """
    from plugin.assembly import run_upkeep

    configure_logging()
    run_upkeep(load_settings(config))


@click.command()
@config_option
def web(config: Path | None) -> None:
    """Run only the reading room and DICOMweb.

    Browsers and viewers reach it where the settings say in [web].
    """
    from plugin.web.serving import run_web

    configure_logging()
    run_web(load_settings(config), path=config)


@click.command()
@config_option
def engine(config: Path | None) -> None:
    """Run the model as an HTTP server for workers elsewhere."""
    from plugin.assembly import run_engine

    configure_logging()
    run_engine(load_settings(config))


_SINCE = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"])


@click.command()
@click.argument("study", required=False)
@click.option(
    "--failed",
    is_flag=True,
    help="List only studies that want a person: a draft is missing, or was not delivered.",
)
@click.option(
    "--state",
    type=click.Choice(["receiving", "drafted", "failed"]),
    help="List only studies in this state.",
)
@click.option("--sender", metavar="AE_TITLE", help="List only studies of this sender.")
@click.option(
    "--since",
    type=_SINCE,
    help="List only studies of which something arrived since this day, or minute, in local time.",
)
@click.option(
    "--limit",
    default=20,
    show_default=True,
    type=click.IntRange(1),
    help="List so many of the latest.",
)
@config_option
@json_option
def status(study: str | None, config: Path | None, as_json: bool, **which: Any) -> None:
    """Say what happened to a study, or list the latest.

    STUDY is an accession number or a Study Instance UID. Without it, the latest studies are listed.
    """
    from plugin.administration.study_list import StudyList
    from plugin.commands.administrator.status import print_studies, print_timeline

    settings = load_settings(config)
    storage, since = settings.storage, which.pop("since")
    wanted = StudyList(since=since and since.astimezone(), **which)
    if study is None:
        shown = settings.status.accession_numbers
        print_studies(
            storage.database_url, storage.spool, wanted, accession_numbers=shown, as_json=as_json
        )
    elif wanted != StudyList():
        raise click.UsageError("name a study, or say which are listed")
    else:
        print_timeline(storage.database_url, study, as_json=as_json)


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@config_option
@json_option
def prune(config: Path | None, dry_run: bool, as_json: bool) -> None:
    """Delete what the settings no longer keep.

    The service does so by itself, unless retention.enabled is false. Never deleted is what was not
    drafted, not delivered and proved, or is in work.
    """
    from plugin.assembly import open_sessions, open_spool
    from plugin.commands.administrator.prune import print_pruning
    from plugin.housekeeping import limits_of
    from plugin.state.database import require_database

    settings = load_settings(config)
    require_database(settings.storage.database_url)
    sessions, spool = open_sessions(settings), open_spool(settings)
    print_pruning(sessions, spool, limits_of(settings), dry_run=dry_run, as_json=as_json)


@click.command()
@click.option(
    "--send",
    is_flag=True,
    help="Deliver a test report of a test patient to every destination, and have it removed.",
)
@config_option
@json_option
def doctor(config: Path | None, as_json: bool, send: bool) -> None:
    """Check everything that the settings name.

    Ports, peers, disk, database and model are tried out. What must be changed is said.
    """
    from plugin.commands.doctor.examine import examine

    sys.exit(examine(load_settings(config), as_json=as_json, send=send))


@click.command("service-unit")
@click.argument(
    "part",
    type=click.Choice(["serve", "receive", "work", "deliver", "upkeep", "web", "engine"]),
    default="serve",
)
@click.option(
    "-c",
    "--config",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The service's settings file.",
)
@click.option(
    "--user", default="ctscribe", show_default=True, help="System user that the service runs as."
)
@click.option(
    "--secrets",
    default=Path("/etc/ctscribe/secrets.env"),
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of the environment variables that hold passwords and tokens: NAME=value lines.",
)
def service_unit(part: str, config: Path, user: str, secrets: Path) -> None:
    """Print the systemd unit of the service, or of a part of it.

    PART is what the unit runs: the whole service (serve, the default), or receive, work, deliver,
    upkeep, web or engine.
    """
    from plugin.commands.administrator.service_unit import unit

    click.echo(unit(part, config, load_settings(config), user=user, secrets=secrets), nl=False)


@click.command()
@click.argument("name", type=click.Choice(list(FILES)), required=False)
def files(name: str | None) -> None:
    """Print a file of the installation, or list them.

    NAME is one of the files that `ctscribe files` lists, such as Orthanc's configuration.
    """
    click.echo(listing() if name is None else content(name), nl=name is None)


COMMANDS = (
    demo,
    serve,
    receive,
    work,
    deliver,
    upkeep,
    web,
    engine,
    status,
    prune,
    doctor,
    service_unit,
    files,
)


def configure_logging() -> None:
    """One line an event on standard error; the libraries only when something is wrong."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    services = ("pynetdicom", "pydicom", "highdicom", "httpx", "httpx2", "alembic", "uvicorn")
    for library in (*services, "transformers", "bitsandbytes"):
        logging.getLogger(library).setLevel(logging.ERROR)
    # Two errors for every attempt to reach a peer that is down; our own line names the peer
    logging.getLogger("pynetdicom.transport").setLevel(logging.CRITICAL)
