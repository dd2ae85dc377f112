"""Examine an installation and say what to change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

import click

from plugin.commands.doctor.finding import Finding
from plugin.commands.doctor.host import (
    check_certificates,
    check_database,
    check_disk,
    check_processes,
)
from plugin.commands.doctor.listeners import check_listeners, check_receiver
from plugin.commands.doctor.models import check_models
from plugin.commands.doctor.peers import (
    check_channels,
    check_destinations,
    check_directories,
    check_repositories,
)
from plugin.console import say
from plugin.settings import Settings


def examine(settings: Settings, *, as_json: bool, send: bool = False) -> int:
    """Run every check, print the findings, and return 0 if all is well, else 1.

    Parameters
    ----------
    settings : Settings
        Of the service.
    as_json : bool
        Whether one JSON object is printed.
    send : bool
        Whether a test report is delivered to every destination.
    """
    findings = list(run_checks(settings, send=send))
    if as_json:
        click.echo(json.dumps({"findings": [asdict(f) for f in findings]}, indent=2))
    else:
        for finding in findings:
            say(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.check}: {finding.detail}")
            if finding.advice:
                say(f"      → {finding.advice}")
    return 0 if all(finding.ok for finding in findings) else 1


def run_checks(settings: Settings, *, send: bool = False) -> Iterator[Finding]:
    yield check_disk(settings)
    yield from check_database(settings)
    yield from check_processes(settings)
    yield check_receiver(settings)
    yield from check_listeners(settings)
    yield from check_models(settings)
    yield from check_destinations(settings, send=send)
    yield from check_repositories(settings)
    yield from check_channels(settings)
    yield from check_directories(settings)
    yield from check_certificates(settings)
