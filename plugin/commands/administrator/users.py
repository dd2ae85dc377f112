"""`ctscribe users` and `ctscribe tokens`: who may open the reading room, and which programs ask."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

import click

from plugin.assembly import passing_sessions
from plugin.console import say
from plugin.settings import Settings
from plugin.state.audit import this_person
from plugin.web.access.people import People
from plugin.web.access.tokens import Tokens


def typed_password() -> str:
    """Ask for a new password twice; from a pipe, read its first line."""
    if sys.stdin.isatty():
        typed: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        return typed
    return sys.stdin.readline().rstrip("\r\n")


def print_users(settings: Settings, *, as_json: bool) -> None:
    """Print who may sign in."""
    with passing_sessions(settings) as sessions:
        known = People(sessions, this_person()).known()
    if as_json:
        click.echo(json.dumps([asdict(one) for one in known], indent=2, default=_text))
        return
    if not known:
        say("nobody may sign in yet: ctscribe users add NAME --role administrator")
    for one in known:
        locked = f"  locked until {one.locked_until:%H:%M} UTC" if one.locked_until else ""
        by = f"  by directory {one.directory}" if one.directory else ""
        say(f"{one.name:20} {one.display_name:28} {', '.join(one.roles)}{by}{locked}")


def add_user(
    settings: Settings, name: str, display_name: str, roles: Sequence[str], password: str
) -> None:
    """Let somebody sign in.

    Parameters
    ----------
    settings : Settings
        Of the service.
    name, display_name : str
        What they sign in with, and what others see.
    roles : sequence of str
        reader, radiologist, administrator.
    password : str
        At first.
    """
    with passing_sessions(settings, begins=True) as sessions:
        People(sessions, this_person()).add(name, display_name, roles, password)
    say(f"{name} may sign in as {', '.join(roles)}")


def remove_user(settings: Settings, name: str) -> None:
    """Let somebody sign in no more."""
    with passing_sessions(settings) as sessions:
        People(sessions, this_person()).remove(name)
    say(f"{name} may sign in no more")


def change_password(settings: Settings, name: str, password: str) -> None:
    """Give somebody another password.

    Parameters
    ----------
    settings : Settings
        Of the service.
    name, password : str
        Who, and the new one.
    """
    with passing_sessions(settings) as sessions:
        People(sessions, this_person()).set_password(name, password)
    say(f"{name} has another password, and must sign in again")


def change_roles(settings: Settings, name: str, roles: Sequence[str]) -> None:
    """Give somebody other roles.

    Parameters
    ----------
    settings : Settings
        Of the service.
    name : str
        Who.
    roles : sequence of str
        In place of those they have.
    """
    with passing_sessions(settings) as sessions:
        People(sessions, this_person()).set_roles(name, roles)
    say(f"{name} is {', '.join(roles)} from now on")


def print_tokens(settings: Settings, *, as_json: bool) -> None:
    """Print which programs may ask; the tokens themselves are not kept."""
    with passing_sessions(settings) as sessions:
        known = Tokens(sessions, this_person()).known()
    if as_json:
        click.echo(json.dumps([asdict(one) for one in known], indent=2, default=_text))
        return
    if not known:
        say("no program has a token")
    for one in known:
        used = f"used {one.used_at:%Y-%m-%d}" if one.used_at else "never used"
        say(f"{one.name:20} until {one.ends_at:%Y-%m-%d}  {used:16}  {', '.join(one.scopes)}")


def make_token(settings: Settings, name: str, scopes: Sequence[str], days: int) -> None:
    """Make a token and print it, alone on standard output.

    Parameters
    ----------
    settings : Settings
        Of the service.
    name : str
        Of the program that will ask.
    scopes : sequence of str
        What it may do.
    days : int
        How long.
    """
    with passing_sessions(settings, begins=True) as sessions:
        token = Tokens(sessions, this_person()).make(name, scopes, days)
    click.echo("This is the only time that the token is shown:", err=True)
    click.echo(token)


def remove_token(settings: Settings, name: str) -> None:
    """Refuse a token from now on."""
    with passing_sessions(settings) as sessions:
        Tokens(sessions, this_person()).remove(name)
    say(f"the token {name} is refused from now on")


def _text(moment: object) -> str:
    assert isinstance(moment, datetime)
    return moment.isoformat()
