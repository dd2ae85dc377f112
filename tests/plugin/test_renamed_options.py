import click
import pytest
from click.testing import CliRunner

from plugin import renamed_options
from plugin.cli import main
from plugin.renamed_options import RENAMED, rename_options


@pytest.fixture
def table(monkeypatch):
    monkeypatch.setattr(
        renamed_options, "RENAMED", {"eval": {"--protocol": "--split"}, "eval vqa": {"--a": "--b"}}
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("eval vqa --protocol paper", "eval vqa --split paper"),
        ("eval vqa --protocol=paper --a 1", "eval vqa --split=paper --b 1"),
        ("eval report --a 1", "eval report --a 1"),
        ("train --protocol paper", "train --protocol paper"),
        ("eval vqa --protocols paper", "eval vqa --protocols paper"),
        ("eval vqa -- --protocol", "eval vqa -- --protocol"),
        ("eval", "eval"),
        ("", ""),
    ],
)
def test_old_names_become_new_ones_below_their_command(table, old, new):
    assert rename_options(old.split()) == new.split()


def test_the_hint_goes_to_standard_error_once(table, capsys):
    rename_options(["eval", "--protocol", "a", "--protocol=b"])
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "ctscribe: --protocol is now --split; the old name goes with 0.3\n"


def test_a_command_takes_its_options_old_name(tmp_path):
    result = CliRunner().invoke(main, ["phantom", "--output", str(tmp_path / "p"), "--seed", "3"])
    assert result.exit_code == 0
    assert "--output is now --out" in result.stderr
    assert (tmp_path / "p" / "truth.json").exists()


def test_a_command_takes_its_options_new_name_without_a_hint(tmp_path):
    result = CliRunner().invoke(main, ["phantom", "--out", str(tmp_path / "p"), "--seed", "3"])
    assert result.exit_code == 0
    assert result.stderr == ""


@pytest.mark.parametrize("words", RENAMED)
def test_every_line_of_the_table_names_an_option_that_exists(words):
    command: click.Command = main
    context = click.Context(main)
    for word in words.split():
        assert isinstance(command, click.Group)
        found = command.get_command(context, word)
        assert found is not None
        command = found
    below = command.commands.values() if isinstance(command, click.Group) else [command]
    known = {name for one in below for option in one.params for name in option.opts}
    assert set(RENAMED[words].values()) <= known
    assert not set(RENAMED[words]) & known
