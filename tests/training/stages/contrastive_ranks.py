"""Stage 1 in every way that ranks share work; the ranks of one launch run them in turn.

SGD in place of AdamW: then the weights differ from where they began by the gradients.
"""

import json
import sys
from pathlib import Path

import torch
from accelerate.state import PartialState
from safetensors.torch import save_file

import training.learner.pairs as pairs
import training.run.loop as loop
from training.learner.material import open_material
from training.recipe.recipe import load_recipe
from training.recipe.stages import Stage
from training.stages.contrastive import contrastive_task, make_pair

COMMON = ["contrastive.learning_rate=0.05", "contrastive.epochs=1"]
WAYS = {
    "zero2": ["run.zero=2"],
    "zero3": ["run.zero=3"],
    "clip": ["contrastive.loss=clip"],
    "masked": ["contrastive.mask_equal=true"],
    "masked_clip": ["contrastive.loss=clip", "contrastive.mask_equal=true"],
    "recomputed": ["run.zero=3", "contrastive.gradient_checkpointing=true"],
}


def sgd(module: torch.nn.Module, stage: Stage) -> torch.optim.Optimizer:
    return torch.optim.SGD([p for p in module.parameters() if p.requires_grad], stage.learning_rate)


def in_thirds(store: object, key: str, report: str) -> int:
    """Many equal pairs, on one rank and across ranks; keys are c0/s, c1/s, …"""
    return int(key.partition("/")[0][1:]) % 3


def main(recipe: str, store: str, out: str, *changes: str) -> None:
    loop.make_optimizer = sgd
    pairs.group = in_thirds
    PartialState.destroy_process_group = lambda self, group=None: None  # the next way needs it
    for way, own in WAYS.items():
        loaded = load_recipe(recipe, [*COMMON, *own, *changes])
        stage = loaded.contrastive
        pair, tokenizer = make_pair(loaded, stage)
        task = contrastive_task(pair, tokenizer, loaded, open_material(loaded, Path(store)))
        trained = loop.train(task, stage, loaded, Path(out) / way, {})
        if trained:
            save_file(trained.weights, Path(out) / f"{way}.safetensors")
            (Path(out) / f"{way}.json").write_text(json.dumps(trained.figures))


main(*sys.argv[1:])
