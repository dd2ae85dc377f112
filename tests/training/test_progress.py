import pytest
import torch
from torch import nn
from torch.nn import functional as F

from training.progress import run_steps
from training.schedule import optimizer_and_schedule

STEPS = 12


class Killed(Exception):
    """Stands for a process that ends between two steps."""


@pytest.fixture(autouse=True)
def saved_often(monkeypatch):
    monkeypatch.setattr("training.progress.SAVE_EVERY", 4)


def train(folder, *, killed_at: int | None = None) -> torch.Tensor:
    torch.manual_seed(0)
    layer = nn.Linear(3, 3)
    optimizer, schedule = optimizer_and_schedule(layer.parameters(), STEPS, 0.1, 0.1)

    def step(i: int) -> float:
        if i == killed_at:
            raise Killed
        x = torch.randn(5, 3, generator=torch.Generator().manual_seed(i))
        loss = F.mse_loss(layer(x), x.flip(1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        return loss.item()

    state = {"layer": layer, "optimizer": optimizer, "schedule": schedule}
    run_steps("line", STEPS, step, state, folder)
    return layer.weight.detach()


@pytest.mark.parametrize("killed_at", [1, 4, 6, 11])
def test_a_killed_run_ends_with_the_same_weights_bit_for_bit(tmp_path, killed_at):
    whole = train(tmp_path / "whole")
    with pytest.raises(Killed):
        train(tmp_path / "killed", killed_at=killed_at)
    assert torch.equal(train(tmp_path / "killed"), whole)


def test_a_finished_run_takes_no_step(tmp_path):
    whole = train(tmp_path)
    assert torch.equal(train(tmp_path, killed_at=0), whole)


def test_progress_is_printed(tmp_path, capsys):
    train(tmp_path)
    assert "line: step 12/12, loss" in capsys.readouterr().out
