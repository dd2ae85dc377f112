import json
import os
import pickle
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

import engine
from engine.checkpoints.checkpoint import describe, load_checkpoint
from plugin.cli import main
from tests.training import tiny
from tests.training.run.processes import finished, start, start_each
from training.data.phantoms.prepare import write_phantoms
from training.learner.begin import begin
from training.learner.material import open_material
from training.recipe.recipe import Recipe
from training.run.loop import Running
from training.stages.answers import answer_task, train_answers

WAYS = ("projector-zero2", "projector-zero3", "finetune-zero2", "finetune-zero3")


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> dict[str, Path]:
    """A store, a language model and a contrastive pair."""
    folder = tmp_path_factory.mktemp("parts")
    return {
        "store": tiny.write_store(folder / "store").folder,
        "llm": tiny.write_llm(folder / "llm"),
        "pair": tiny.write_pair(folder / "pair"),
    }


@pytest.fixture(scope="module")
def ranks(tmp_path_factory, parts) -> tuple[Path, Path]:
    """What one rank and two ranks came to, in every way; see `answers_ranks`."""
    folder = tmp_path_factory.mktemp("ranks")
    command = ["tests.training.stages.answers_ranks"]
    command += [str(parts[part]) for part in ("store", "llm", "pair")]
    alone = start([*command, str(folder / "one"), "4"])
    finished(start_each([*command, str(folder / "two"), "1"]))
    finished([alone])
    return folder / "one", folder / "two"


@pytest.mark.parametrize("way", WAYS)
def test_two_ranks_learn_what_one_learns_of_the_same_batch(ranks, way):
    """The one in a pass of four items, the two in two passes of one item each."""
    one, two = (load_file(folder / f"{way}.safetensors") for folder in ranks)
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_two_ranks_validate_as_one(ranks, way):
    one, two = (json.loads((folder / f"{way}.json").read_text()) for folder in ranks)
    assert one == pytest.approx(two, rel=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_what_is_kept_is_what_learns_and_it_has_learnt(ranks, parts, way):
    name = way.partition("-")[0]
    module = begin(tiny.recipe(parts["llm"]), name, str(parts["pair"])).module
    learning = {n: p for n, p in module.named_parameters() if p.requires_grad}
    trained = load_file(ranks[1] / f"{way}.safetensors")
    buffers = dict(module.named_buffers()).keys() & trained.keys()
    assert trained.keys() - buffers == learning.keys()
    assert all(not torch.equal(trained[n], p) for n, p in learning.items() if "bias" not in n)
    assert all(torch.equal(trained[n], module.get_buffer(n)) for n in buffers)


def command(parts: dict[str, Path], out: Path, *changes: str) -> list[str]:
    """Stage 3 straight behind the pair: LoRA with dropout over a model that has learnt nothing."""
    recipe = tiny.write_recipe(out.with_suffix(".toml"), parts["llm"])
    arguments = [
        "--recipe",
        recipe,
        "--data",
        parts["store"],
        "--out",
        out,
        "--model",
        parts["pair"],
    ]
    arguments += [word for change in changes for word in ("--set", change)]
    return ["plugin", "train", "finetune", "--split", "grouped", *map(str, arguments)]


def test_ranks_that_are_killed_end_with_the_same_bytes(parts, tmp_path):
    """Under ZeRO-3, in two passes a step, from a state of the second of four steps."""
    changes = ["run.zero=3", "run.save_every=1", "finetune.micro_batch=1"]
    first, second = start_each(command(parts, tmp_path / "killed", *changes))
    for line in first.stdout:
        if line.startswith("finetune 2/"):
            break
    for process in (first, second):
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    whole = start_each(command(parts, tmp_path / "whole", *changes))
    assert "finetune 1/" not in finished(start_each(command(parts, tmp_path / "killed", *changes)))
    finished(whole)
    digests = {describe(tmp_path / out / "checkpoint").digest for out in ("whole", "killed")}
    assert len(digests) == 1


class Killed(Exception):
    pass


@pytest.mark.parametrize("name", ["projector", "finetune"])
@pytest.mark.parametrize("step", [1, 3])
def test_a_process_that_stops_at_a_step_ends_with_the_same_bytes(
    parts, tmp_path, monkeypatch, name, step
):
    def run(out: str) -> Path:
        recipe = tiny.recipe(parts["llm"])
        material = open_material(recipe, parts["store"], "grouped")
        return train_answers(name, recipe, material, tmp_path / out, str(parts["pair"]))

    whole = run("whole")
    take_step = Running._step

    def stop(self, number, passes):
        if number == step:
            raise Killed
        return take_step(self, number, passes)

    with monkeypatch.context() as patch:
        patch.setattr(Running, "_step", stop)
        with pytest.raises(Killed):
            run("killed")
    assert describe(run("killed")).digest == describe(whole).digest


def test_with_kept_features_a_run_learns_the_same(parts, tmp_path):
    losses = []
    for features in (None, "features"):
        recipe = tiny.recipe(parts["llm"], features=features)
        material = open_material(recipe, parts["store"], "grouped")
        out = tmp_path / str(features)
        checkpoint = train_answers("projector", recipe, material, out, str(parts["pair"]))
        losses.append(describe(checkpoint).card.provenance["validation"]["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert len(list((tmp_path / "features" / "features").glob("*/*.safetensors"))) == 1


def test_a_reading_process_gets_the_data_by_pickle(parts):
    recipe = tiny.recipe(parts["llm"])
    begun = begin(recipe, "finetune", str(parts["pair"]))
    material = open_material(recipe, parts["store"], "grouped")
    task = answer_task("finetune", begun, recipe, material, Path(), torch.device("cpu"))
    copy = pickle.loads(pickle.dumps(task.data))
    (image, text), (same_image, same_text) = (
        data.example(3, np.random.default_rng(3)) for data in (task.data, copy)
    )
    assert torch.equal(image[0], same_image[0])
    assert torch.equal(text.ids, same_text.ids)


def test_a_study_is_reported_with_what_stage_3_leaves_of_the_embedded_model(tmp_path):
    embedded = Path(engine.__file__).parent / "embedded"
    found = describe(embedded)
    vision = found.network.vision
    stage = {
        **tiny.STAGE,
        "steps": 1,
        "learning_rate": 1e-5,
        "max_tokens": 256,
        "data": ["reports"],
        "report_questions": [found.prompt.report],
        "features": "features",
    }
    recipe = Recipe.model_validate(
        {
            "name": "again",
            "preprocess": found.preprocess.to_dict(),
            "vision": {
                "blocks": vision.blocks,
                "channels": vision.channels,
                "stem": vision.stem,
                "layer_scale": vision.layer_scale,
            },
            "run": {"workers": 2, "precision": "fp32"},
            "finetune": stage,
        }
    )
    write_phantoms(tmp_path / "store", {"train": range(1, 5)}, found.preprocess)
    material = open_material(recipe, tmp_path / "store", "paper")
    checkpoint = train_answers("finetune", recipe, material, tmp_path / "run", str(embedded))
    assert load_checkpoint(checkpoint).distribution is not None

    study = tmp_path / "study"
    assert (
        CliRunner().invoke(main, ["phantom", "-o", str(study), "--seed", "900001"]).exit_code == 0
    )
    arguments = ["report", str(study), "-o", str(tmp_path / "sr"), "--model", str(checkpoint)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "Findings" in result.stdout
    assert list((tmp_path / "sr").glob("*.dcm"))
