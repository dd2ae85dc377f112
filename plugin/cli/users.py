"""The words of `ctscribe users` and `ctscribe tokens`."""

from __future__ import annotations

from pathlib import Path

import click

from plugin.cli.options import config_option, json_option
from plugin.settings import load_settings

ROLES = ("reader", "radiologist", "administrator")
SCOPES = ("dicomweb-read", "dicomweb-write", "reading", "administration")
_roles = click.option(
    "--role",
    "roles",
    multiple=True,
    required=True,
    type=click.Choice(ROLES),
    help="What the user may do. May be given several times.",
)


@click.group()
def users() -> None:
    """Say who may open the reading room.

    Readers see studies and drafts. Radiologists edit, accept and reject drafts as well.
    Administrators see why drafts are missing, and change the service.
    """


@users.command("list")
@config_option
@json_option
def list_users(config: Path | None, as_json: bool) -> None:
    """List who may sign in."""
    from plugin.commands.administrator.users import print_users

    print_users(load_settings(config), as_json=as_json)


@users.command("add")
@click.argument("name")
@_roles
@click.option("--display-name", default="", help="What others see. Default: NAME.")
@config_option
def add(name: str, roles: tuple[str, ...], display_name: str, config: Path | None) -> None:
    """Let somebody sign in.

    NAME is what they sign in with. The password is asked for, or read from standard input.
    """
    from plugin.commands.administrator.users import add_user, typed_password

    settings = load_settings(config)
    add_user(settings, name, display_name, roles, typed_password())


@users.command("remove")
@click.argument("name")
@config_option
def remove(name: str, config: Path | None) -> None:
    """Let somebody sign in no more."""
    from plugin.commands.administrator.users import remove_user

    remove_user(load_settings(config), name)


@users.command("password")
@click.argument("name")
@config_option
def password(name: str, config: Path | None) -> None:
    """Give somebody another password, and unlock them.

    The password is asked for, or read from standard input. They must sign in again.
    """
    from plugin.commands.administrator.users import change_password, typed_password

    settings = load_settings(config)
    change_password(settings, name, typed_password())


@users.command("roles")
@click.argument("name")
@_roles
@config_option
def roles_(name: str, roles: tuple[str, ...], config: Path | None) -> None:
    """Give somebody other roles, in place of those they have."""
    from plugin.commands.administrator.users import change_roles

    change_roles(load_settings(config), name, roles)


@click.group()
def tokens() -> None:
    """Say which programs may ask, such as a DICOMweb viewer."""


@tokens.command("list")
@config_option
@json_option
def list_tokens(config: Path | None, as_json: bool) -> None:
    """List the tokens, without their secrets."""
    from plugin.commands.administrator.users import print_tokens

    print_tokens(load_settings(config), as_json=as_json)


@tokens.command("make")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(SCOPES),
    help="What the program may do. May be given several times.",
)
@click.option(
    "--days",
    default=365,
    show_default=True,
    type=click.IntRange(1, 3650),
    help="How long the token is of use.",
)
@config_option
def make(name: str, scopes: tuple[str, ...], days: int, config: Path | None) -> None:
    """Make a token for a program, and print it once.

    NAME is the program's, for the list and the audit trail. The program sends the token with each
    request as "Authorization: Bearer TOKEN".
    """
    from plugin.commands.administrator.users import make_token

    make_token(load_settings(config), name, scopes, days)


@tokens.command("remove")
@click.argument("name")
@config_option
def remove_token_(name: str, config: Path | None) -> None:
    """Refuse a token from now on."""
    from plugin.commands.administrator.users import remove_token

    remove_token(load_settings(config), name)
