"""The command line: its words are here, the work of each command is in `plugin.commands`.

Exit status: 0 done; 1 the input or a peer is at fault; 2 wrong usage.
"""

from __future__ import annotations

import warnings

import click

from plugin.cli import drafts, service, studies, watch
from plugin.cli.backup import backup, restore
from plugin.cli.feedback import feedback
from plugin.cli.model import model
from plugin.cli.models import models
from plugin.cli.rules import rules
from plugin.cli.users import tokens, users
from plugin.command_group import Commands


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ctscribe", prog_name="ctscribe")
def main() -> None:
    """Draft radiology reports for CT studies, from DICOM to DICOM Structured Report."""
    # They quote odd values of the data set, a birth date among them
    warnings.filterwarnings("ignore", module=r"pydicom\.")


for command in (
    *service.COMMANDS,
    *drafts.COMMANDS,
    *studies.COMMANDS,
    *watch.COMMANDS,
    backup,
    restore,
    feedback,
    model,
    models,
    rules,
    users,
    tokens,
):
    main.add_command(command)
