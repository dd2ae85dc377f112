import json
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file

from engine.checkpoint import describe, load_pair
from engine.tokenizer_files import read_tokenizer
from plugin.cli import main
from tests.training.run.processes import run_ranks, start
from tests.training.stages.small import SPEC, write_recipe

WAYS = ("zero2", "zero3", "clip", "recomputed")


def train(recipe: Path, store: Path, out: Path, *more: str) -> Result:
    arguments = ["--recipe", str(recipe), "--data", str(store), "--out", str(out), *more]
    return CliRunner().invoke(main, ["train", "contrastive", *arguments])


def test_the_pair_loads_with_its_tokenizer_preprocessing_and_provenance(recipe, store, tmp_path):
    result = train(recipe, store, tmp_path / "run", "--set", "contrastive.epochs=1")
    assert result.exit_code == 0, result.output
    checkpoint = tmp_path / "run" / "checkpoint"
    pair = load_pair(checkpoint)
    assert torch.isfinite(pair.encode_image(torch.rand(1, 1, *SPEC.size))).all()
    assert read_tokenizer(checkpoint).encode("left kidney").ids
    found = describe(checkpoint)
    assert found.preprocess == SPEC
    said = found.card.provenance
    assert (said["stage"], said["data"]["split"], said["recipe"]["seed"]) == (
        "contrastive",
        "grouped",
        5,
    )
    assert {"loss", "image_to_text_r1", "text_to_image_r1"} == said["validation"].keys()
    assert said["data"]["digest"] in (checkpoint / "README.md").read_text("utf-8")


def test_a_finished_run_takes_no_step_and_gives_the_same_pair(recipe, store, tmp_path):
    digests = []
    for _ in range(2):
        result = train(recipe, store, tmp_path, "--set", "contrastive.epochs=1")
        digests.append(describe(tmp_path / "checkpoint").digest)
    assert "contrastive 1/" not in result.output
    assert digests[0] == digests[1]


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


def test_a_run_that_does_not_say_which_split_is_refused(recipe, store, tmp_path):
    recipe.write_text(recipe.read_text().replace('split = "grouped"', ""))
    result = train(recipe, store, tmp_path)
    assert (result.exit_code, "does not say which split" in result.stderr) == (1, True)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory, store, text_encoder) -> tuple[Path, Path]:
    """What one rank and two ranks came to, in every way; see `contrastive_ranks`."""
    folder = tmp_path_factory.mktemp("ranks")
    recipe = write_recipe(folder / "small.toml", text_encoder)
    command = [sys.executable, "-m", "tests.training.stages.contrastive_ranks", recipe, store]
    command = [str(part) for part in command]
    alone = start([*command, str(folder / "one"), "contrastive.micro_batch=4"])
    run_ranks([*command, str(folder / "two"), "contrastive.micro_batch=2"])
    output, _ = alone.communicate(timeout=300)
    assert alone.returncode == 0, output
    return folder / "one", folder / "two"


@pytest.mark.parametrize("way", WAYS)
def test_two_ranks_learn_what_one_learns_of_the_same_batch(ranks, way):
    one, two = (load_file(folder / f"{way}.safetensors") for folder in ranks)
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_two_ranks_validate_as_one(ranks, way):
    one, two = (json.loads((folder / f"{way}.json").read_text()) for folder in ranks)
    assert one == pytest.approx(two, rel=1e-5)


def test_activations_that_are_computed_again_change_nothing(ranks):
    one, _ = ranks
    kept, again = (load_file(one / f"{way}.safetensors") for way in ("zero2", "recomputed"))
    assert all(torch.equal(kept[name], again[name]) for name in kept)
