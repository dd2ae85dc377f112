"""Alarms on the terminal: which there are, and whether their channels take them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_io.errors import CtscribeError
from plugin.assembly import passing_sessions
from plugin.console import say
from plugin.housekeeping import channel_of
from plugin.settings import Settings
from plugin.state.tables import Study
from plugin.upkeep.alarms.channels import Message
from plugin.upkeep.alarms.tables import Alarm

LATEST = 20  # alarms that are over, so that a list fits on a screen


def print_alarms(settings: Settings, *, past: bool, as_json: bool) -> None:
    """List open alarms, and on request the latest that are over.

    Parameters
    ----------
    settings : Settings
        Of the service.
    past : bool
        Whether those that are over are listed, too.
    as_json : bool
        Whether one JSON object is printed in place of lines.
    """
    with passing_sessions(settings) as sessions, sessions() as session:
        chosen = select(Alarm).where(Alarm.over_at.is_(None)).order_by(Alarm.id)
        if past:
            chosen = select(Alarm).order_by(Alarm.id.desc()).limit(LATEST)
        found = [_to_dict(session, alarm) for alarm in session.scalars(chosen).all()]
    if as_json:
        click.echo(json.dumps({"alarms": found}, indent=2))
        return
    if not found:
        say("no alarm")
    for alarm in found:
        times = "once" if alarm["count"] == 1 else f"{alarm['count']} times"
        mark = "over" if alarm["over"] else "URGENT" if alarm["urgent"] else "ALARM"
        say(f"{mark} {alarm['cause']}: {alarm['message']} ({times} since {alarm['first']})")
        for uid in alarm["studies"]:
            say(f"  study {uid}")


def try_channels(settings: Settings) -> Iterator[tuple[str, str | None]]:
    """Send a test to every channel; yields its name, and what went wrong if anything did."""
    now = datetime.now(UTC)
    source = settings.audit.source_id
    for one in settings.alarms.channels:
        message = Message(
            id=0,
            news="test",
            cause="test",
            urgent=False,
            count=1,
            message="this is a test: nothing is wrong",
            first=now,
            last=now,
            studies=(),
            source=source,
            key=f"{source}.test.{now.timestamp():.0f}",
        )
        try:
            channel_of(one).send(message)
        except CtscribeError as error:
            yield one.name, str(error)
        else:
            yield one.name, None


def _to_dict(session: Session, alarm: Alarm) -> dict[str, Any]:
    uids = select(Study.study_instance_uid).where(Study.id.in_(alarm.studies)).order_by(Study.id)
    return {
        "cause": alarm.cause,
        "urgent": alarm.urgent,
        "count": alarm.count,
        "message": alarm.message,
        "first": _shown(alarm.first_at),
        "last": _shown(alarm.last_at),
        "over": _shown(alarm.over_at) if alarm.over_at else None,
        "studies": list(session.scalars(uids)),
    }


def _shown(moment: datetime) -> str:
    return moment.astimezone().isoformat(" ", "seconds")
