"""How `ctscribe` finds its commands and reports their errors."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NoReturn

import click

from dicom_io.errors import CtscribeError
from dicom_io.extras import install_hint
from plugin.console import say
from plugin.renamed_options import rename_options

GROUP = "ctscribe.commands"


class Commands(click.Group):
    """A group that also has the commands of every entry point `ctscribe.commands`.

    So the service offers `ctscribe prepare` and knows nothing of the package that brings it. What
    is added is imported only where it is called, or listed in the help.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_added()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None or cmd_name not in _added():
            return own
        command: click.Command = _added()[cmd_name].load()
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, rename_options(args))

    def invoke(self, ctx: click.Context) -> Any:
        """Print an error of ours as one line on standard error, and exit with status 1."""
        try:
            return super().invoke(ctx)
        except CtscribeError as error:
            _fail(str(error))
        except ModuleNotFoundError as error:
            hint = install_hint(error)
            if hint is None:  # a fault of ours, which a traceback helps to find
                raise
            _fail(hint)
        except OSError as error:
            if error.filename is None:  # a broken pipe, which click ends quietly
                raise
            _fail(f"{error.filename}: {error.strerror}")


def _fail(message: str) -> NoReturn:
    say(f"ctscribe: {message}", err=True)
    sys.exit(1)


def _added() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}
