import json
import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim import AdamW

from dicom_io.errors import TrainingError
from training.run.states import (
    OPTIMIZER,
    WEIGHTS,
    States,
    claim,
    latest,
    load_harmless,
    trained_weights,
)

ABOUT = {"recipe": {"seed": 1, "contrastive": {"epochs": 3}}, "ranks": 2}


def test_a_state_that_is_half_written_is_not_found(tmp_path):
    (tmp_path / "step-00000004").mkdir()
    (tmp_path / "step-00000006.part").mkdir()
    assert latest(tmp_path) == (4, tmp_path / "step-00000004")


def test_a_run_begins_without_a_state(tmp_path):
    assert latest(tmp_path) is None


def test_the_same_run_goes_on(tmp_path):
    about = {**ABOUT, "size": (8, 16, 16)}  # a tuple, which JSON does not have
    claim(tmp_path / "contrastive", about)
    written = (tmp_path / "contrastive" / "run.json").read_bytes()
    assert json.loads(written) == {**ABOUT, "size": [8, 16, 16]}
    claim(tmp_path / "contrastive", about)
    assert (tmp_path / "contrastive" / "run.json").read_bytes() == written


def test_another_run_is_refused_with_what_differs(tmp_path):
    claim(tmp_path, ABOUT)
    other = {"recipe": {"seed": 1, "contrastive": {"epochs": 4}}, "ranks": 1}
    with pytest.raises(TrainingError, match=r"ranks was 2, is 1; recipe\.contrastive\.epochs was"):
        claim(tmp_path, other)


class Hostile:
    """Runs code where it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.fixture
def state(tmp_path):
    """A state with whole weights, as every state has."""
    folder = tmp_path / "states" / "step-00000004"
    folder.mkdir(parents=True)
    save_file({"w": torch.ones(2)}, folder / WEIGHTS)
    return folder


def test_code_in_a_state_of_several_ranks_does_not_run(state, tmp_path):
    mark, path = tmp_path / "ran", state / "mp_rank_00_model_states.pt"
    torch.save({"module": {"w": torch.ones(2)}, "optimizer": Hostile(mark)}, path)
    with pytest.raises(TrainingError, match=r"mp_rank_00_model_states\.pt is not loaded"):
        load_harmless(path)
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists(), "it would have run"


@pytest.mark.parametrize("name", [WEIGHTS, OPTIMIZER])
def test_code_in_a_state_of_one_process_does_not_run(state, tmp_path, name):
    mark = tmp_path / "ran"
    (state / name).write_bytes(pickle.dumps(Hostile(mark)))
    network = nn.Linear(2, 2)
    alone = SimpleNamespace(deepspeed_plugin=None)
    states = States(state.parent, alone, network, network, AdamW(network.parameters()))
    with pytest.raises(TrainingError, match=f"{name} cannot be read"):
        states.resume()
    assert not mark.exists()


def test_a_state_of_another_format_is_refused(state):
    (state / WEIGHTS).rename(state / "pytorch_model.bin")
    with pytest.raises(TrainingError, match="another version wrote it"):
        trained_weights(state.parent)


def test_what_adam_holds_comes_back_bit_for_bit(tmp_path):
    def made():
        torch.manual_seed(1)
        network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
        network[0].bias.requires_grad_(False)
        weights = [p for p in network.parameters() if p.requires_grad]
        optimizer = AdamW(weights, lr=0.1)
        return (
            network,
            optimizer,
            States(tmp_path, Accelerator(cpu=True), network, network, optimizer),
        )

    def step(network, optimizer):
        network(torch.arange(12.0).view(4, 3).sin()).pow(2).sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    network, optimizer, states = made()
    step(network, optimizer)
    states.save(1, keep=1)
    step(network, optimizer)
    again, its_optimizer, its_states = made()
    assert its_states.resume() == 1
    step(again, its_optimizer)
    assert all(
        torch.equal(a, b)
        for a, b in zip(network.state_dict().values(), again.state_dict().values(), strict=True)
    )
    assert "0.bias" not in load_file(tmp_path / "step-00000001" / WEIGHTS), "it is frozen"
