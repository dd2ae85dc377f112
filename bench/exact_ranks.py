"""What `run.exact_ranks` costs: steps of stage 1 in one process with and without it, in turns.

Run `python -m bench.exact_ranks`; see bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from transformers.models.distilbert import DistilBertConfig

from engine.network.contrastive import ContrastivePair
from training.learner.pair import prepare_pair
from training.recipe.recipe import load_recipe
from training.run.exact import prepare_for_ranks
from training.run.losses import ring_siglip_loss

BATCH, TOKENS = 4, 128


def steps(*, exact: bool) -> Callable[[], None]:
    """One step of the recipe `phantom`'s stage 1, with the dropout that DistilBERT comes with."""
    recipe = load_recipe("phantom")
    assert recipe.contrastive is not None
    torch.manual_seed(0)
    text = DistilBertConfig(vocab_size=1000, dim=96, hidden_dim=192, n_layers=2, n_heads=4)
    pair = ContrastivePair(recipe.vision_config, text, recipe.contrastive.width).train()
    prepare_pair(pair, recipe.contrastive, exact_ranks=exact)
    pair, draw = prepare_for_ranks(pair, exact=exact, ranks=1, device=torch.device("cpu"))
    volumes = torch.rand(BATCH, 1, *recipe.preprocess_spec.size)
    ids = torch.randint(0, 1000, (BATCH, TOKENS))
    mask = torch.ones_like(ids)

    def step() -> None:
        draw.begin(0, 0, torch.arange(BATCH))
        pair(volumes, ids, mask, loss=ring_siglip_loss).backward()

    return step


def seconds(step: Callable[[], None]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    ways = {"exact": steps(exact=True), "torch": steps(exact=False)}
    for step in ways.values():
        step()
    times = [{name: seconds(step) for name, step in ways.items()} for _ in range(rounds)]
    medians = {f"{name}_s": statistics.median(t[name] for t in times) for name in ways}
    dearer = statistics.median(t["exact"] / t["torch"] for t in times)
    print(json.dumps({**medians, "times_slower": dearer, "rounds": rounds}))


if __name__ == "__main__":
    main()
