import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training import tiny
from tests.training.run.processes import run_ranks, start
from training.stages.begin import begin

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
    command = [sys.executable, "-m", "tests.training.stages.answers_ranks"]
    command += [str(parts[part]) for part in ("store", "llm", "pair")]
    alone = start([*command, str(folder / "one"), "4"])
    run_ranks([*command, str(folder / "two"), "1"])
    output, _ = alone.communicate(timeout=300)
    assert alone.returncode == 0, output
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
