"""A run that can be killed at any step: its state on disk, and how far it is on the terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch

SAVE_EVERY = 200


class Resumable(Protocol):
    """What has a state: modules, optimizers, schedules."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Any) -> Any: ...


def run_steps(
    name: str,
    steps: int,
    step: Callable[[int], float],
    state: dict[str, Resumable],
    folder: Path,
) -> None:
    """Call `step(i)` for every step that is not done yet, keeping the state on disk.

    Parameters
    ----------
    name : str
        Names the state file `{folder}/{name}.pt`.
    steps : int
        How many in all.
    step : callable
        Takes the step's number, from which it draws all its randomness; returns the loss.
    state : dict
        What the steps change.
    folder : Path
        Of the run.
    """
    path = folder / f"{name}.pt"
    first = _restore(path, state)
    started, losses = time.monotonic(), []
    for i in range(first, steps):
        losses.append(step(i))
        if (i + 1) % SAVE_EVERY == 0 or i + 1 == steps:
            _save(path, i + 1, state)
            left = (time.monotonic() - started) / (i + 1 - first) * (steps - i - 1)
            mean = sum(losses) / len(losses)
            print(f"{name}: step {i + 1}/{steps}, loss {mean:.4f}, {left:.0f} s left", flush=True)
            losses.clear()


def _restore(path: Path, state: dict[str, Resumable]) -> int:
    if not path.exists():
        return 0
    saved = torch.load(path, weights_only=True)
    for key, part in state.items():
        part.load_state_dict(saved[key])
    return int(saved["step"])


def _save(path: Path, step: int, state: dict[str, Resumable]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    torch.save({"step": step, **{k: part.state_dict() for k, part in state.items()}}, unfinished)
    unfinished.replace(path)
