"""One command makes the weights of a model of phantoms, whatever kills it."""

import json
import os
import signal
from pathlib import Path
from shutil import copy, copytree

import pytest

from dicom_io.errors import RecipeError, TrainingError, UnusableData
from dicom_io.model_input.preprocess import prepare
from dicom_io.phantoms.detailed.findings import DETAILED_FINDINGS
from dicom_io.phantoms.detailed.phantom import make_detailed_phantom
from engine import load_engine
from engine.checkpoints.checkpoint import describe
from engine.protocol import Sampling
from tests.training.run.processes import finished, start
from tests.training.test_phantom_recipe import SMALL
from training.data.shards import locked
from training.recipe.recipe import FOLDER, load_recipe
from training.stages import from_nothing
from training.stages.from_nothing import train_from_nothing

CHANGES = (
    *SMALL,
    "phantoms.train=[1, 7]",
    "phantoms.validation=[11, 14]",
    "phantoms.test=[21, 22]",
    "run.save_every=1",
)


def command(out: Path, *more: str) -> list[str]:
    changes = [part for change in (*CHANGES, *more) for part in ("--set", change)]
    return ["plugin", "train", "phantom", "--out", str(out), *changes]


def killed_at(out: Path, said: str) -> None:
    """Kill a run as soon as it says something."""
    process = start(command(out))
    for line in process.stdout:
        if line.startswith(said):
            os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    finished([start(command(out))])
    return out


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_weights(whole, tmp_path):
    # while phantoms are made, within the first stage, and within the last
    for moment in ("store: begins", "contrastive 2/", "finetune 1/"):
        killed_at(tmp_path, moment)
    output = finished([start(command(tmp_path))])
    assert "contrastive: finished before" in output
    digests = {describe(out / "finetune" / "checkpoint").digest for out in (whole, tmp_path)}
    assert len(digests) == 1


def test_the_recipe_of_detailed_phantoms_comes_to_a_model_of_eleven_findings(tmp_path):
    # the facts of eleven findings need more places than those of five
    changes = ("mixer={low=[48, 64], high=[4, 8]}", "out_of_distribution.images=2")
    short = [f"{stage}.steps=1" for stage in ("contrastive", "language", "projector", "finetune")]
    finished([start([*command(tmp_path, *changes, *short), "--recipe", "detailed"])])
    engine = load_engine(str(tmp_path / "finetune" / "checkpoint"))
    assert engine.identity.findings == DETAILED_FINDINGS
    volume = prepare(make_detailed_phantom(1).volume, engine.preprocess)
    assert engine.report(volume, Sampling(max_new_tokens=3)) is not None


def test_the_model_names_no_folder_of_this_machine(whole):
    said = (whole / "finetune" / "checkpoint" / "config.json").read_text("utf-8")
    assert '"projector/checkpoint"' in said
    assert '"/' not in said


def test_the_log_says_what_was_done_and_what_came_out(whole):
    log = json.loads((whole / "log.json").read_text("utf-8"))
    assert list(log["steps"]) == ["store", "contrastive", "language", "projector", "finetune"]
    assert all(step["calls"] == 1 and step["seconds"] >= 0 for step in log["steps"].values())
    assert all("digest" in step for name, step in log["steps"].items() if name != "store")
    assert log["versions"]["torch"]


def test_another_recipe_is_refused_in_the_same_folder(whole):
    with pytest.raises(TrainingError, match="seed"):
        train_from_nothing(load_recipe("phantom", [*CHANGES, "seed=2"]), whole)


def test_a_recipe_of_ones_own_takes_its_words_along(tmp_path, monkeypatch):
    copytree(FOLDER / "words", tmp_path / "words")
    copy(FOLDER / "phantom.toml", tmp_path / "own.toml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(from_nothing._Run, "steps", lambda run: [])
    train_from_nothing(load_recipe("own.toml"), Path("out"))
    there = tmp_path / "out" / "words"
    for table in ("text_encoder", "llm"):
        assert (there / table / "tokenizer.json").read_bytes() == (
            tmp_path / "words" / "tokenizer.json"
        ).read_bytes()
    (tmp_path / "words" / "tokenizer.json").write_text("{}")
    with pytest.raises(TrainingError, match="words"):
        train_from_nothing(load_recipe("own.toml"), Path("out"))


def test_two_at_a_time_are_refused(whole):
    with locked(whole), pytest.raises(UnusableData, match="trains in"):
        train_from_nothing(load_recipe("phantom", CHANGES), whole)


def test_a_recipe_that_lacks_a_stage_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="no table phantoms"):
        train_from_nothing(load_recipe("paper"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
