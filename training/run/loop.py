"""The loop that every stage runs in: Accelerate, DeepSpeed where several processes work.

Everything random in a step comes from seed, step and items. So a run that goes on after a kill
sees what an uninterrupted one sees; with `run.exact_ranks` so does one on other ranks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch import Tensor, nn
from torch.optim import AdamW

from dicom_io.errors import TrainingError
from training.recipe.recipe import Recipe
from training.recipe.stages import Stage
from training.run.backend import make_accelerator
from training.run.console import Monitor, say
from training.run.exact import Draw, prepare_for_ranks
from training.run.launch import launched_ranks
from training.run.loader import Pass, load_steps
from training.run.plan import Plan
from training.run.ranks import total
from training.run.states import States, claim, figures_at, keep_figures, trained_weights
from training.run.task import Batch, Task


@dataclass(frozen=True)
class Trained:
    """What a stage ends with.

    Parameters
    ----------
    weights : dict of str to Tensor
        What its module has learnt, and buffers, on the CPU.
    figures : dict of str to float
        Of the validation of these weights.
    """

    weights: dict[str, Tensor]
    figures: dict[str, float]


def train(
    task: Task[Any], stage: Stage, recipe: Recipe, out: Path, about: Mapping[str, Any]
) -> Trained | None:
    """Run a stage to its end, going on where it stopped.

    Parameters
    ----------
    task : Task
        The stage.
    stage : Stage
        Its table of the recipe.
    recipe : Recipe
        Seed, precision, ZeRO, and how often to save.
    out : Path
        Of the run: `states`, `logs`.
    about : mapping
        What else decides the weights, such as the data's digest. JSON values.

    Returns
    -------
    Trained, optional
        None on all ranks but the first.

    Raises
    ------
    RecipeError
        The batch does not fit ranks and items.
    TrainingError
        The loss is not finite, or `out` is of another run.
    """
    plan = Plan(stage, len(task.data), launched_ranks())
    accelerator = make_accelerator(recipe.run, plan, out)
    folder = out / "states" / task.name
    decisive = recipe.model_dump(mode="json", exclude={"run": True})
    exact = recipe.run.exact_ranks
    claim(folder, {"recipe": decisive, "ranks": plan.world, "exact_ranks": exact, **about})
    accelerator.wait_for_everyone()
    shapes = {name: tensor.shape for name, tensor in task.module.state_dict().items()}
    give_scalars_an_axis(task.module)
    network, draw = prepare_for_ranks(
        task.module, exact=exact, ranks=plan.world, device=accelerator.device
    )
    module, optimizer = accelerator.prepare(network, make_optimizer(network, stage))
    states = States(folder, accelerator, network, module, optimizer)
    running = Running(task, plan, recipe, states, accelerator, module, optimizer, draw)
    running.go(states.resume())
    figures = running.validate(plan.steps)
    accelerator.end_training()
    if not accelerator.is_main_process:
        return None
    step, weights = trained_weights(folder)
    if step != plan.steps:
        say(f"the weights of step {step} are kept: their validation loss is the lowest")
        figures = figures_at(folder, step)
    return Trained({name: w.reshape(shapes[name]) for name, w in weights.items()}, figures)


def give_scalars_an_axis(module: nn.Module) -> None:
    """Make parameters of shape () those of shape (1,): DeepSpeed takes no others."""
    for part in module.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            if not parameter.ndim:
                setattr(part, name, nn.Parameter(parameter.data[None], parameter.requires_grad))


def make_optimizer(module: nn.Module, stage: Stage) -> AdamW:
    """AdamW; weight decay spares vectors and scalars (norms, biases, temperature)."""
    trained = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": stage.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return AdamW([g for g in groups if g["params"]], lr=stage.learning_rate)


@contextmanager
def advised(stage: Stage) -> Iterator[None]:
    """Say what to change where a pass does not fit the device."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"the GPU has no room for a pass of {stage.micro_batch}: lower micro_batch, the global "
            "batch stays; or set gradient_checkpointing = true"
        ) from error


@dataclass
class Running(Generic[Batch]):
    """A stage on its way."""

    task: Task[Batch]
    plan: Plan
    recipe: Recipe
    states: States
    accelerator: Accelerator
    module: nn.Module
    optimizer: Any
    draw: Draw

    def go(self, first: int) -> None:
        """Make the steps from `first` on."""
        run, plan, accelerator = self.recipe.run, self.plan, self.accelerator
        main = accelerator.is_main_process
        if main:
            say(*plan.lines(apart=self.task.passes_are_apart))
        accelerator.init_trackers(
            self.task.name, init_kwargs={"tensorboard": {"purge_step": first}}
        )
        monitor = Monitor(self.task.name, plan.steps, first, plan.stage.global_batch, not main)
        self.module.train()
        losses: list[Tensor] = []
        for step, passes in enumerate(self._passes(first), start=first):
            losses.append(self._step(step, passes))
            done = step + 1
            saves = done % run.save_every == 0 or done == plan.steps
            if saves or done % run.log_every == 0:
                figures = monitor.show(done, self._finite(done, losses), plan.learning_rate(step))
                accelerator.log(figures, step=done)
                losses.clear()
            if saves:
                self.states.save(done, run.keep)
            if run.validate_every and done % run.validate_every == 0 and done < plan.steps:
                self.validate(done)
        monitor.close()

    def _passes(self, first: int) -> Iterator[list[Pass[Batch]]]:
        rank = self.accelerator.process_index
        run, seed = self.recipe.run, self.recipe.seed
        return load_steps(self.task.data, self.plan, seed, rank, first, run.workers)

    def _step(self, step: int, passes: list[Pass[Batch]]) -> Tensor:
        """Take one step of the optimizer; return the loss before it."""
        accelerator, device = self.accelerator, self.accelerator.device
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.learning_rate(step)
        weight = torch.tensor(sum(self.task.weight(p.batch) for p in passes), device=device)
        weight = total(weight)
        # backward divides by the passes, and DeepSpeed by the ranks
        factor = self.plan.passes * self.plan.world / weight
        loss = torch.zeros((), device=device)
        for i, one in enumerate(passes):
            accelerator.sync_gradients = i + 1 == len(passes)
            self.draw.begin(self.recipe.seed, step, one.items)
            with advised(self.plan.stage):
                part = self.task.loss(self.module, send_to_device(one.batch, device))
                accelerator.backward(part * factor)
            loss += part.detach()
        if accelerator.deepspeed_plugin is None:
            accelerator.clip_grad_norm_(self.module.parameters(), self.plan.stage.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss / weight

    def _finite(self, step: int, losses: list[Tensor]) -> float:
        """Return the mean loss of the latest steps over all ranks."""
        loss = total(torch.stack(losses).mean()).item()
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} at step {step}; the last state on disk is from before"
            )
        return loss

    def validate(self, step: int) -> dict[str, float]:
        """Look at the validation part."""
        if self.task.validate is None:
            return {}
        self.module.eval()
        with torch.no_grad():
            figures = dict(self.task.validate(self.module))
        self.module.train()
        self.accelerator.log({f"validation/{k}": v for k, v in figures.items()}, step=step)
        said = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
        if self.accelerator.is_main_process:
            keep_figures(self.states.folder, step, figures)
            say(f"validation at step {step}: {said}")
        if self.recipe.run.keep_best:
            self.states.keep_best(step, figures)
        return figures
