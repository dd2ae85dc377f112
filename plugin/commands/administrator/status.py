"""What happened to a study, step by step, and why there is (no) draft."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
from sqlalchemy.orm import Session

from dicom_io.counted import counted
from dicom_io.errors import ConfigurationError, CtscribeError
from plugin.administration.overview import engine_alert, study_to_dict, timelines
from plugin.administration.study_list import StudyList
from plugin.console import say
from plugin.state.database import open_database, require_database, session_factory
from plugin.state.running.pulse import processes


def print_studies(
    database_url: str,
    spool: Path,
    wanted: StudyList,
    *,
    accession_numbers: bool = False,
    as_json: bool,
) -> None:
    """List studies, newest first, with where each stands, and the service's processes.

    Parameters
    ----------
    database_url, spool
        Of the service.
    wanted : StudyList
        Which.
    accession_numbers : bool
        Whether they are shown.
    as_json : bool
        Whether one JSON object is printed in place of lines.
    """
    living = processes(spool)
    with _session(database_url) as session:
        studies = session.scalars(wanted.query()).all()
        rows = [study_to_dict(session, study) for study in studies]
        if accession_numbers:
            for study, row in zip(studies, rows, strict=True):
                row["accession_number"] = study.accession_number
        alert = engine_alert(session)
    if as_json:
        found = {"alert": alert, "processes": list(map(asdict, living)), "studies": rows}
        click.echo(json.dumps(found, indent=2))
        return
    if alert is not None:
        say(f"ALERT: {alert}")
    for process in living:
        if process.state != "alive":
            say(f"ALERT: {process}")
    if not rows:
        say(_none(wanted))
    for row in rows:
        names = filter(None, (row["study_instance_uid"], row.get("accession_number")))
        say("  ".join((row["last_received_at"], *names, row["verdict"])))


def print_timeline(database_url: str, wanted: str, *, as_json: bool) -> None:
    """Print the timeline of the studies with this accession number or Study Instance UID.

    Parameters
    ----------
    database_url : str
        Of the service's database.
    wanted : str
        The number or UID.
    as_json : bool
        Whether one JSON object is printed in place of lines.

    Raises
    ------
    PluginError
        No study has it now.
    """
    with _session(database_url) as session:
        found = timelines(session, wanted)
    if as_json:
        click.echo(json.dumps({"studies": found}, indent=2))
        return
    for study in found:
        say(f"study {study['study_instance_uid']}: {counted(study['instances'], 'instance')}")
        for event in study["events"]:
            mark = "" if event["level"] == "info" else f" {event['level'].upper()}:"
            say(f"  {event['time']} {mark} {event['message']}")
        if study["worker"]:
            say(f"  last worked on by {study['worker']}")
        say(f"  now: {study['verdict']}")


def _none(wanted: StudyList) -> str:
    """Say why no study is listed."""
    if not wanted.chooses:
        return "no study has arrived yet"
    if wanted == StudyList(failed=True, limit=wanted.limit):
        return "no study wants a person: no draft is missing, and none was refused"
    return "no such study"


def _session(database_url: str) -> Session:
    require_database(database_url)
    try:
        return session_factory(open_database(database_url))()
    except (ModuleNotFoundError, CtscribeError):  # the command line tells what to do
        raise
    except Exception as error:
        raise ConfigurationError(
            f"the database cannot be opened ({type(error).__name__}): check storage.database "
            "and storage.spool, and that -c names the service's file"
        ) from error
