"""The arithmetic of a run: batches, steps, learning rates."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dicom_io.errors import RecipeError
from training.recipe.stages import Stage


@dataclass(frozen=True)
class Plan:
    """How many steps there are, and what each of them is made of.

    Parameters
    ----------
    stage : Stage
        What the recipe asks for.
    items : int
        Of the training part.
    world : int
        Ranks on all nodes.

    Raises
    ------
    RecipeError
        The global batch cannot be shared, or is more than there are items.
    """

    stage: Stage
    items: int
    world: int = 1

    def __post_init__(self) -> None:
        share, rest = divmod(self.stage.global_batch, self.world)
        if rest or share % self.stage.micro_batch:
            raise RecipeError(
                f"a global_batch of {self.stage.global_batch} is no multiple of micro_batch "
                f"{self.stage.micro_batch} × {self.world} ranks"
            )
        if self.stage.global_batch > self.items:
            raise RecipeError(
                f"a global_batch of {self.stage.global_batch} is more than the {self.items} "
                "items of the training part"
            )

    @property
    def passes(self) -> int:
        """How many micro-batches each rank computes for one step of the optimizer."""
        return self.stage.global_batch // (self.stage.micro_batch * self.world)

    @property
    def steps_per_epoch(self) -> int:
        return self.items // self.stage.global_batch

    @property
    def steps(self) -> int:
        return self.stage.steps or (self.stage.epochs or 0) * self.steps_per_epoch

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, then a cosine to zero (paper, section 3.4)."""
        return self.stage.learning_rate * warm_up_and_cosine(step, self.steps, self.stage.warm_up)

    def lines(self, *, apart: bool = False) -> list[str]:
        """Say what is about to happen; see `Task.passes_are_apart`."""
        stage = self.stage
        warm_up = warm_up_steps(self.steps, stage.warm_up)
        said = [
            f"batch: {stage.micro_batch} a rank × {self.world} ranks × {self.passes} passes = "
            f"{stage.global_batch}",
            f"steps: {self.items} items / {stage.global_batch} = {self.steps_per_epoch} an epoch; "
            f"{self.steps} in all, {warm_up} of them warm-up",
        ]
        if apart and self.passes > 1:
            together = stage.micro_batch * self.world
            said.append(f"only the {together} items of one pass are told from one another")
        return said


def warm_up_and_cosine(step: int, steps: int, fraction: float) -> float:
    """Return what the learning rate is multiplied by at a step.

    Parameters
    ----------
    step, steps : int
        Which one, of how many.
    fraction : float
        Of the steps that warm up.
    """
    warm_up = warm_up_steps(steps, fraction)
    if step < warm_up:
        return (step + 1) / warm_up
    progress = (step - warm_up) / max(1, steps - warm_up)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def warm_up_steps(steps: int, fraction: float) -> int:
    """Return how many steps warm up."""
    return max(1, round(fraction * steps))
