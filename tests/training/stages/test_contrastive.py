import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from engine.checkpoints.checkpoint import describe, load_pair
from engine.checkpoints.tokenizer_files import read_tokenizer
from plugin.cli import main
from tests.training.run.processes import finished, launch, start
from tests.training.stages.small import SPEC, write_recipe

SHORT = ("--set", "contrastive.epochs=1")
WAYS = ("zero2", "zero3", "clip", "masked", "masked_clip", "recomputed")


def train(recipe: Path, store: Path, out: Path, *more: str) -> Result:
    arguments = ["--recipe", str(recipe), "--data", str(store), "--out", str(out), *more]
    return CliRunner().invoke(main, ["train", "contrastive", *arguments])


@pytest.fixture(scope="module")
def run(tmp_path_factory, store, text_encoder) -> Path:
    """A run of one epoch, finished, with its recipe beside it."""
    folder = tmp_path_factory.mktemp("run")
    recipe = write_recipe(folder / "small.toml", text_encoder)
    result = train(recipe, store, folder, *SHORT)
    assert result.exit_code == 0, result.output
    assert "contrastive 4/4" in result.output
    return folder


def test_the_pair_loads_with_its_tokenizer_preprocessing_and_provenance(run):
    checkpoint = run / "checkpoint"
    pair = load_pair(checkpoint)
    assert torch.isfinite(pair.encode_image(torch.rand(1, 1, *SPEC.size))).all()
    assert read_tokenizer(checkpoint).encode("left kidney").ids
    found = describe(checkpoint)
    assert found.preprocess == SPEC
    said = found.card.provenance
    assert (said["stage"], said["data"]["split"]) == ("contrastive", "grouped")
    assert said["recipe"]["seed"] == 5
    assert {"loss", "image_to_text_r1", "text_to_image_r1"} == said["validation"].keys()
    assert said["data"]["digest"] in (checkpoint / "README.md").read_text("utf-8")


def test_tensorboard_has_loss_learning_rate_and_validation(run):
    events = EventAccumulator(str(run / "logs" / "contrastive"))
    events.Reload()
    assert {1, 2, 3, 4} == {event.step for event in events.Scalars("loss")}
    assert {"learning_rate", "items_per_s", "validation/loss"} <= set(events.Tags()["scalars"])


def test_a_finished_run_takes_no_step_and_gives_the_same_pair(run, store):
    before = describe(run / "checkpoint").digest
    result = train(run / "small.toml", store, run, *SHORT)
    assert "contrastive 4/4" not in result.output
    assert describe(run / "checkpoint").digest == before


def test_a_run_goes_on_with_the_same_recipe_only(run, store):
    result = train(run / "small.toml", store, run, "--set", "contrastive.epochs=2")
    assert (result.exit_code, "recipe.contrastive.epochs was 1, is 2" in result.stderr) == (1, True)


def test_a_pair_can_be_trained_further(run, store, tmp_path):
    begin = str(run / "checkpoint")
    result = train(run / "small.toml", store, tmp_path, *SHORT, "--model", begin)
    assert result.exit_code == 0, result.output
    assert describe(tmp_path / "checkpoint").card.provenance["from"] == begin


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("preprocess.scaling=fixed", "was prepared in another way: scaling is minmax, not fixed"),
        ("contrastive.global_batch=64", "more than the 16 items"),
        ("text_encoder.max_tokens=64", "max_tokens is 64, and it reads 32 at most"),
        ("split=paper", "has no split 'paper'"),
        ("text_encoder.pretrained=nowhere", "no text encoder at nowhere"),
    ],
)
def test_what_cannot_be_is_one_line_before_anything_is_trained(
    recipe, store, tmp_path, change, why
):
    result = train(recipe, store, tmp_path / "run", "--set", change)
    assert result.exit_code == 1
    assert why in result.stderr
    assert "Traceback" not in result.output


def test_a_loss_that_is_not_finite_ends_the_run(recipe, store, tmp_path):
    changes = ("--set", "contrastive.t_prime=1000")
    result = train(recipe, store, tmp_path / "run", *changes)
    assert (result.exit_code, "the loss is" in result.stderr) == (1, True)
    assert not list((tmp_path / "run" / "states" / "contrastive").glob("step-*"))


def test_a_run_that_does_not_say_which_split_is_refused(recipe, store, tmp_path):
    recipe.write_text(recipe.read_text().replace('split = "grouped"', ""))
    result = train(recipe, store, tmp_path)
    assert (result.exit_code, "does not say which split" in result.stderr) == (1, True)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory, store, text_encoder) -> tuple[Path, Path]:
    """What one rank and two ranks came to, in every way; see `contrastive_ranks`."""
    folder = tmp_path_factory.mktemp("ranks")
    recipe = write_recipe(folder / "small.toml", text_encoder)
    command = ["tests.training.stages.contrastive_ranks", str(recipe), str(store)]
    alone = start([*command, str(folder / "one"), "contrastive.micro_batch=4"])
    launch([*command, str(folder / "two"), "contrastive.micro_batch=2"])
    finished([alone])
    return folder / "one", folder / "two"


@pytest.mark.parametrize("way", WAYS)
def test_two_ranks_learn_what_one_learns_of_the_same_batch(ranks, way):
    one, two = (load_file(folder / f"{way}.safetensors") for folder in ranks)
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_two_ranks_validate_as_one(ranks, way):
    one, two = (json.loads((folder / f"{way}.json").read_text()) for folder in ranks)
    assert one == pytest.approx(two, rel=1e-5)


@pytest.mark.parametrize(("way", "plain"), [("masked", "zero2"), ("masked_clip", "clip")])
def test_pairs_that_are_equal_are_left_out_of_the_loss(ranks, way, plain):
    _, two = ranks
    masked, whole = (load_file(two / f"{name}.safetensors") for name in (way, plain))
    assert any(not torch.allclose(masked[name], whole[name]) for name in whole)


def test_activations_that_are_computed_again_change_nothing(ranks):
    one, _ = ranks
    kept, again = (load_file(one / f"{way}.safetensors") for way in ("zero2", "recomputed"))
    assert all(torch.equal(kept[name], again[name]) for name in kept)
