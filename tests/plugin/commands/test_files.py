import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from plugin.cli import main
from plugin.commands.files import FILES
from tests.repository import ROOT

PLACES = {
    "orthanc_plugin.py": ROOT / "plugin" / "orthanc_plugin.py",
    "ray-serve.yaml": ROOT / "ray-serve.yaml",
    "train.sbatch": ROOT / "training" / "slurm" / "train.sbatch",
}


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["files", *arguments])
    assert result.exit_code == 0
    return result.stdout


def test_without_a_name_every_file_is_listed():
    assert [line.split()[0] for line in printed().splitlines()] == list(FILES)


@pytest.mark.parametrize("name", PLACES)
def test_a_file_is_printed_as_it_lies_in_the_repository(name):
    assert printed(name) == PLACES[name].read_text("utf-8")


def test_orthanc_s_configuration_names_the_script_of_this_installation():
    configuration = json.loads(printed("orthanc.json"))
    script = Path(configuration.pop("PythonScript"))
    assert script.is_absolute()
    assert script.is_file()
    original = json.loads((ROOT / "orthanc.json").read_text("utf-8"))
    del original["PythonScript"]
    assert configuration == original
