import json

import pytest
from click.testing import CliRunner, Result

from plugin.cli import main
from training.data.store import open_store
from training.recipe.recipe import load_recipe


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["prepare", *map(str, arguments)])


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    raw = tmp_path_factory.mktemp("raw")
    assert run("phantoms", raw, "--seeds", "1:5").exit_code == 0
    return raw


def test_phantoms_become_a_store_that_is_sound(raw, tmp_path):
    result = run("m3d", raw, tmp_path / "store", "--size", 4, 8, 8)
    assert result.exit_code == 0
    assert "split paper: train" in result.output
    assert "0 rejected" in result.output
    assert json.loads((tmp_path / "store" / "report.json").read_text())["rejected"] == []
    checked = run("verify", tmp_path / "store")
    assert (checked.exit_code, checked.output) == (0, "sound\n")


def test_faults_of_a_store_are_printed_and_exit_1(raw, tmp_path):
    run("m3d", raw, tmp_path / "store", "--size", 4, 8, 8)
    (tmp_path / "store" / "images" / "00000.safetensors").write_bytes(b"")
    result = run("verify", tmp_path / "store")
    assert result.exit_code == 1
    assert result.output == "00000.safetensors is not the file that was written\n1 fault\n"


def test_a_folder_without_m3d_is_one_line_and_exit_1(tmp_path):
    result = run("m3d", tmp_path, tmp_path / "store")
    assert result.exit_code == 1
    assert result.output.startswith(f"ctscribe: {tmp_path} has no case of M3D")
    assert result.output.count("\n") == 1


def test_a_recipe_makes_its_store_of_the_parts_that_are_named(tmp_path):
    arguments = ("phantoms", tmp_path / "store", "--recipe", "phantom", "--test", "900000:900002")
    assert run(*arguments).exit_code == 0
    store = open_store(tmp_path / "store", load_recipe("phantom").preprocess_spec)
    assert store.split("grouped")["test"] == ["phantom/900000", "phantom/900001"]
    assert run("verify", tmp_path / "store").output == "sound\n"


@pytest.mark.parametrize(
    "options", [("--test", "1:3"), ("--recipe", "phantom", "--seeds", "1:3")], ids=str
)
def test_parts_belong_to_a_store_and_seeds_alone_to_raw_data(tmp_path, options):
    assert run("phantoms", tmp_path, *options).exit_code == 2


@pytest.mark.parametrize("seeds", ["5", "5:5", "a:b"])
def test_seeds_that_are_no_range_are_wrong_usage(tmp_path, seeds):
    assert run("phantoms", tmp_path, "--seeds", seeds).exit_code == 2


def test_a_raw_folder_that_is_not_there_is_wrong_usage(tmp_path):
    assert run("m3d", tmp_path / "nowhere", tmp_path / "store").exit_code == 2


def test_what_a_fault_quotes_is_harmless_on_the_terminal(raw, tmp_path, monkeypatch):
    run("m3d", raw, tmp_path / "store", "--size", 4, 8, 8)
    monkeypatch.setattr("training.data.store.verify", lambda _: ["\x1b[2J\x9bodd\u202ename"])
    result = run("verify", tmp_path / "store")
    assert result.output == "\\x1b[2J\\x9bodd\\u202ename\n1 fault\n"
