"""Where a run stands, on the terminal: a bar where somebody watches, else a line now and then."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from datetime import timedelta

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from dicom_io.cleaned import cleaned_lines


def say(*lines: str) -> None:
    """Print lines that may quote something from outside on standard error, at once."""
    print(*map(cleaned_lines, lines), sep="\n", file=sys.stderr, flush=True)


@dataclass
class Monitor:
    """Counts steps and says how fast they go.

    Parameters
    ----------
    name : str
        Of the stage.
    steps, first : int
        In all, and those that were made before.
    batch : int
        Items of a step.
    silent : bool
        On all ranks but the first.
    """

    name: str
    steps: int
    first: int
    batch: int
    silent: bool = False
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.console = Console(stderr=True)
        columns = (BarColumn(), TextColumn("{task.description}"))
        self.bar = Progress(*columns, console=self.console, disable=self.silent or not self.watched)
        self.row = self.bar.add_task(self.name, total=self.steps, completed=self.first)
        self.bar.start()

    @property
    def watched(self) -> bool:
        return self.console.is_terminal

    def show(self, step: int, loss: float, learning_rate: float) -> dict[str, float]:
        """Say where the run stands after `step` steps; return the figures.

        Parameters
        ----------
        step : int
            Steps that are made.
        loss, learning_rate : float
        """
        seconds = (time.monotonic() - self.started) / (step - self.first)
        figures = {
            "loss": loss,
            "learning_rate": learning_rate,
            "items_per_s": self.batch / seconds,
        }
        text = (
            f"{self.name} {step}/{self.steps}  loss {loss:.4f}  lr {learning_rate:.2e}  "
            f"{self.batch / seconds:.3g} items/s  left {_clock(seconds * (self.steps - step))}"
        )
        if torch.cuda.is_available():
            figures["gpu_gib"] = torch.cuda.max_memory_allocated() / 2**30
            text += f"  GPU {figures['gpu_gib']:.1f} GiB"
        if self.watched:
            self.bar.update(self.row, completed=step, description=text)
        elif not self.silent:
            say(text)
        return figures

    def close(self) -> None:
        """Leave the terminal as it was."""
        self.bar.stop()


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
