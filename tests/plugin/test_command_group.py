import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from click.testing import CliRunner

from plugin.cli import main
from plugin.command_group import GROUP


def test_added_commands_are_listed_beside_the_services_own():
    listed = CliRunner().invoke(main, ["--help"]).output
    assert "prepare" in listed
    assert "report" in listed


def test_every_added_command_has_help():
    for point in entry_points(group=GROUP):
        result = CliRunner().invoke(main, [point.name, "--help"])
        assert result.exit_code == 0
        assert result.output.startswith(f"Usage: main {point.name}")


def test_an_unknown_command_is_wrong_usage():
    result = CliRunner().invoke(main, ["nonsense"])
    assert result.exit_code == 2
    assert "No such command 'nonsense'" in result.output


@pytest.mark.slow
def test_the_service_imports_nothing_that_is_added():
    program = (
        "import sys; from plugin.cli import main\n"
        "main(['status', '--help'], standalone_mode=False)\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('training', 'torch')])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines()[-1] == "[]"
