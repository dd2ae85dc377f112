"""Stages 2 and 3 in every way that ranks share work; the ranks of one launch run them in turn.

SGD in place of AdamW: then the weights differ from where they began by the gradients.
"""

import json
import sys
from pathlib import Path

import torch
from accelerate.state import PartialState
from safetensors.torch import save_file

import training.run.loop as loop
from tests.training import tiny
from training.learner.begin import begin
from training.learner.material import open_material
from training.recipe.stages import Stage
from training.stages.answers import answer_task

WAYS = {
    "projector-zero2": ("projector", 2, {}),
    "projector-zero3": ("projector", 3, {}),
    "finetune-zero2": ("finetune", 2, {}),
    "finetune-zero3": ("finetune", 3, {"gradient_checkpointing": True}),
}
"""Stage, ZeRO and other keys of its table."""


def sgd(module: torch.nn.Module, stage: Stage) -> torch.optim.Optimizer:
    return torch.optim.SGD([p for p in module.parameters() if p.requires_grad], stage.learning_rate)


def main(store: str, llm: str, start: str, out: str, micro_batch: str) -> None:
    loop.make_optimizer = sgd
    PartialState.destroy_process_group = lambda self, group=None: None  # the next way needs it
    for way, (name, zero, changes) in WAYS.items():
        changes = {"micro_batch": int(micro_batch), "steps": 3, "learning_rate": 0.5, **changes}
        recipe = tiny.recipe(Path(llm), **changes)
        run = recipe.run.model_copy(update={"zero": zero, "save_every": 9})
        recipe = recipe.model_copy(update={"run": run})
        begun = begin(recipe, name, start)
        folder = Path(out) / way
        material = open_material(recipe, Path(store), "grouped")
        task = answer_task(name, begun, recipe, material, folder, torch.device("cpu"))
        trained = loop.train(task, begun.stage, recipe, folder, {})
        if trained:
            save_file(trained.weights, Path(out) / f"{way}.safetensors")
            (Path(out) / f"{way}.json").write_text(json.dumps(trained.figures))


main(*sys.argv[1:])
