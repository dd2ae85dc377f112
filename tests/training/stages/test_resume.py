"""Runs that are killed end with the weights that they would have had, bit for bit."""

import os
import random
import re
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from engine.checkpoints.checkpoint import describe
from tests.forked import Forked
from tests.training.run.processes import finished, start, start_each
from tests.training.stages.small import write_recipe

Command = Callable[..., list[str]]
STEP = re.compile(r"contrastive \d+/")


@pytest.fixture
def command(tmp_path, text_encoder, store) -> Command:
    recipe = write_recipe(tmp_path / "small.toml", text_encoder)

    def of(out: str, *changes: str) -> list[str]:
        arguments = ["--recipe", recipe, "--data", store, "--out", tmp_path / out]
        arguments += [part for change in changes for part in ("--set", change)]
        return ["plugin", "train", "contrastive", *map(str, arguments)]

    return of


def killed(ranks: Iterable[Forked], steps: int, seconds: float) -> None:
    """Kill a run and all its ranks some time after it has made some steps more."""
    first, *others = ranks
    for line in first.stdout:
        steps -= STEP.match(line) is not None
        if not steps:
            break
    time.sleep(seconds)
    for process in (first, *others):
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()


def digests(folder: Path) -> set[str]:
    return {describe(folder / out / "checkpoint").digest for out in ("whole", "killed")}


def test_a_process_that_is_killed_again_and_again_ends_with_the_same_bytes(command, tmp_path):
    whole = start(command("whole", "run.keep=1"))
    # a state every two steps, so that each of them gets on
    moments = [(steps, random.uniform(0, 0.2)) for steps in (1, 2, 3)]
    for steps, seconds in moments:
        killed([start(command("killed", "run.keep=1"))], steps, seconds)
    output = finished([start(command("killed", "run.keep=1"))])
    finished([whole])
    assert "contrastive 1/" not in output, "it went on from a state"
    assert len(digests(tmp_path)) == 1, moments
    states = (tmp_path / "killed" / "states" / "contrastive").glob("step-*")
    assert [path.name for path in states if path.suffix != ".part"] == ["step-00000012"]


@pytest.mark.parametrize(("exact", "zero"), [("true", 2), ("false", 3)])
def test_ranks_that_are_killed_end_with_the_same_bytes(command, tmp_path, exact, zero):
    # two passes a step, so that a run is killed within one
    changes = ["contrastive.micro_batch=1", "contrastive.epochs=2"]
    changes += [f"run.exact_ranks={exact}", f"run.zero={zero}"]
    killed(start_each(command("killed", *changes)), 3, random.uniform(0, 0.2))
    whole = start_each(command("whole", *changes))
    assert "contrastive 1/" not in finished(start_each(command("killed", *changes)))
    finished(whole)
    assert len(digests(tmp_path)) == 1
