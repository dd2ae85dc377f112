from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from plugin.cli import main
from plugin.supervisor import CTSCRIBE
from tests.repository import ROOT

COMMANDS = sorted(main.commands)


def test_without_a_command_it_lists_them():
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    assert all(name in result.output for name in COMMANDS)


def test_no_summary_of_a_command_is_cut():
    """On a terminal of 80 columns, those of the packages that add commands included."""
    for words in (["--help"], ["model", "--help"], ["audit", "--help"]):
        shown = CliRunner().invoke(main, words, terminal_width=80).output
        assert "..." not in shown.partition("Commands:")[2]


def test_a_peer_that_is_down_is_told_by_our_own_line_alone():
    code = (
        "import logging; from plugin.cli.service import configure_logging\n"
        "configure_logging(); import pynetdicom\n"
        "assert not logging.getLogger('pynetdicom.transport').isEnabledFor(logging.ERROR)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does(name):
    result = CliRunner().invoke(main, [name, "-h"])
    assert result.exit_code == 0
    assert main.commands[name].help


def below(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        yield command
        if isinstance(command, click.Group):
            yield from below(command)


@pytest.mark.parametrize("command", list(below(main)), ids=lambda command: command.name)
def test_every_option_has_a_help_text(command):
    options = [one for one in command.params if isinstance(one, click.Option)]
    assert [one.name for one in options if not one.help] == []


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["report"], ["report", "--nonsense"], ["volume", "."], ["phantom", "-o", "x"]],
)
def test_wrong_usage_exits_with_2(arguments):
    assert CliRunner().invoke(main, arguments).exit_code == 2


@pytest.mark.parametrize(
    "name", ["serve", "receive", "work", "deliver", "upkeep", "status", "doctor"]
)
def test_a_wrong_configuration_is_one_line_and_status_1(tmp_path, name):
    config = tmp_path / "c.toml"
    config.write_text("[receiver]\nprot = 4\n")
    result = CliRunner().invoke(main, [name, "-c", str(config)])
    assert result.exit_code == 1
    assert result.stderr.startswith("ctscribe: ")
    assert "receiver.prot" in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_version_is_the_packages():
    assert CliRunner().invoke(main, ["--version"]).output.startswith("ctscribe, version ")


def test_a_phantom_is_written_with_its_truth(tmp_path):
    result = CliRunner().invoke(main, ["phantom", "-o", str(tmp_path), "--seed", "3"])
    assert Path(result.output.strip()).is_dir()
    assert (tmp_path / "truth.json").is_file()


@pytest.mark.slow
def test_help_costs_no_model_no_receiver_and_no_rules():
    code = (
        "import sys; from plugin.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'highdicom', 'pynetdicom', 'sqlalchemy'}\n"
        "heavy |= {'pydicom', 'rule_engine'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.slow
def test_the_receiver_never_loads_the_model():
    code = (
        "import sys, plugin.reception.receiver, plugin.assembly\n"
        "assert not {'torch', 'transformers', 'highdicom'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.slow
def test_a_closed_pipe_is_no_traceback(tmp_path):
    command = " ".join(f"'{part}'" for part in CTSCRIBE)
    done = subprocess.run(
        ["/bin/sh", "-c", f"{command} --help | true"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
