"""One GPU in at most eight minutes: what the models do on it, against what it could do at most.

Each part runs in a process of its own within its budget of time, so that one that fails or hangs
takes nothing from the others; the record is written after every part. `--small` runs all parts on
a CPU at small size: that proves the script and says nothing about a GPU. Run `python -m bench.gpu`;
see bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.distilbert import DistilBertConfig
from transformers.models.qwen2 import Qwen2Config

from bench import decode, encoder
from engine.checkpoints.decoding import Decoding
from engine.inference import compiled
from engine.inference.device import choose_device
from engine.inference.generation import Generator
from engine.network.contrastive import ContrastivePair
from engine.network.families.med3dvlm import Med3DVLMConfig
from engine.protocol import Sampling
from engine.sizes.memory import PUBLISHED_MODEL
from training.learner import answering
from training.learner.begin import answering as taught
from training.learner.pair import prepare_pair
from training.recipe.recipe import load_recipe
from training.recipe.stages import Stage
from training.run.loop import make_optimizer

RECORD = Path(__file__).parent / "records" / "gpu.json"
SECONDS = 480.0
"""In all: eight minutes."""

Figures = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """How large everything is.

    Parameters
    ----------
    shape : str
        Of `bench.decode`.
    tokens, rounds : int
        New tokens of a text, and how often each side writes one.
    variant : str
        Of the vision tower.
    volume : tuple of int, optional
        What its forms see, in place of the variant's own size.
    recipe : str
        Whose model and stages are trained.
    llm : Qwen2Config
        The language model of stage 3.
    steps : int
        Of training that are timed.
    most_images : int
        Of a step; the recipe's micro batch where that is smaller.
    """

    shape: str
    tokens: int
    rounds: int
    variant: str
    volume: tuple[int, int, int] | None
    recipe: str
    llm: Qwen2Config
    steps: int
    most_images: int


PUBLISHED = Size("published", 128, 3, "small", None, "paper", PUBLISHED_MODEL.llm, 8, 64)
SMALL = Size("tiny", 8, 1, "nano", (32, 64, 64), "phantom", decode.TINY.llm, 2, 2)
SIZES = {False: PUBLISHED, True: SMALL}
BATCHES = (1, 3, 2, 4, 1, 2)
"""Studies under way together, as the server may find them in its queue."""


def decoding(size: Size, device: torch.device, *, quantization: str = "none") -> Figures:
    """Decoding and reading prompts beside Hugging Face and the limits; memory, counted and real."""
    # int8 at batch 1 is bound by launches of bitsandbytes, many times slower: fewer tokens do
    tokens = size.tokens if quantization == "none" else size.tokens // 2
    return decode.measure(
        argparse.Namespace(
            shape=size.shape,
            device=str(device),
            dtype="auto",
            quantization=quantization,
            tokens=tokens,
            rounds=size.rounds,
        )
    )


def encoder_forms(size: Size, device: torch.device) -> Figures:
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # as the engine encodes
        return encoder.take_turns(size.variant, size.rounds, str(device), size.volume)


@torch.inference_mode()
def graph_hits(size: Size, device: torch.device) -> Figures:
    """The share of steps that a graph was ready for, once the server has warmed up."""
    from torch._dynamo.utils import counters

    if device.type == "cpu":  # which has no CUDA graphs: trace and guard as a GPU does
        compiled.HOW |= {"mode": None, "backend": "eager"}
    config = decode.SHAPES[size.shape]
    network = decode.random_network(config, device, decode.choose_dtype("auto", device))
    generator = Generator(network, Decoding(), compiles=True)
    width = config.llm.hidden_size
    prompt = torch.randn(
        decode.PROMPT_TOKENS, width, device=device, dtype=network.lm_head.weight.dtype
    )
    started = time.perf_counter()
    generator.warm_up(prompt, max(BATCHES), size.tokens)
    warm = time.perf_counter() - started
    before = generator.compilation.graphs
    sampling = Sampling(max_new_tokens=size.tokens, stop_at_loop=False)
    for texts in BATCHES:
        # prompts of other lengths, which share a cache's step
        generator.write(generator.read([prompt[i:] for i in range(texts)]), sampling)
    steps = len(BATCHES) * (size.tokens - 1)
    late, fallbacks = generator.compilation.graphs - before, generator.compilation.fallbacks
    skipped = counters["inductor"]["cudagraph_skips"]
    # a late graph costs two steps, which compile and record; what falls back does so for good
    missed = steps if fallbacks or skipped else min(steps, 2 * late)
    return {
        "warm_up_s": round(warm, 1),
        "graphs_at_warm_up": before,
        "graphs_later": late,
        "fallbacks": fallbacks,
        "cuda_graphs_skipped": skipped,
        "steps": steps,
        "hit_rate": round(1 - missed / steps, 3),
    }


def stage_1(size: Size, device: torch.device) -> Figures:
    """Steps of contrastive training: volumes and reports of full length."""
    recipe = load_recipe(size.recipe)
    stage, text = recipe.contrastive, recipe.text_encoder
    assert stage is not None
    assert text is not None
    own = text.sizes.model_dump() if text.sizes else {}
    config = DistilBertConfig(max_position_embeddings=text.max_tokens, **own)
    pair = ContrastivePair(recipe.vision_config, config, stage.width, stage.loss)
    pair = prepare_pair(pair.train(), stage).to(device)

    def loss(images: int) -> Tensor:
        volumes = torch.rand(images, 1, *recipe.vision_config.input_size, device=device)
        ids = torch.randint(config.vocab_size, (images, text.max_tokens), device=device)
        found: Tensor = pair(volumes, ids, torch.ones_like(ids))
        return found

    return trained(pair, loss, stage, size, device)


def stage_3(size: Size, device: torch.device) -> Figures:
    """Steps of the last stage: LoRA and projector, answers of full length."""
    recipe = load_recipe(size.recipe)
    stage, table = recipe.finetune, recipe.llm
    assert stage is not None
    assert table is not None
    llm = size.llm
    projector = recipe.projector_config(llm.hidden_size)
    config = Med3DVLMConfig(recipe.vision_config, projector, llm, table.splice)
    model = decode.random_network(config, device, decode.choose_dtype("auto", device))
    model.get_submodule("model.mm_projector").float()  # it learns
    module = taught(model, stage, recipe.seed, device).train().to(device)

    def loss(images: int) -> Tensor:
        volumes = torch.rand(images, 1, *recipe.vision_config.input_size, device=device)
        ids = torch.randint(llm.vocab_size, (images, stage.max_tokens), device=device)
        batch = answering.Batch([volumes], ids, ids)
        return answering.loss(module, batch) / answering.weight(batch)

    return trained(module, loss, stage, size, device)


def trained(
    module: nn.Module,
    loss: Callable[[int], Tensor],
    stage: Stage,
    size: Size,
    device: torch.device,
) -> Figures:
    """Time steps of as many images as fit, from the recipe's micro batch downwards."""
    images = min(stage.micro_batch, size.most_images)
    while True:
        try:
            return {"images": images, **timed_steps(module, partial(loss, images), stage, size)}
        except torch.OutOfMemoryError:
            if images == 1:
                raise
            images //= 2
            module.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()


def timed_steps(module: nn.Module, loss: Callable[[], Tensor], stage: Stage, size: Size) -> Figures:
    optimizer = make_optimizer(module, stage)
    device = next(module.parameters()).device
    losses: list[float] = []

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            value = loss()
        value.backward()
        nn.utils.clip_grad_norm_(module.parameters(), stage.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(value.item())

    step()  # libraries choose their kernels, and AdamW makes its states
    taken = [decode.seconds(step, device) for _ in range(size.steps)]
    peak = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None
    return {
        "steps_per_s": round(len(taken) / sum(taken), 3),
        "slowest_step_s": round(max(taken), 3),
        "peak_mib": peak and round(peak),
        "losses_finite": bool(torch.tensor(losses).isfinite().all()),
    }


@dataclass(frozen=True)
class Part:
    """One part, and the seconds that it may take on a GPU, start of its process included."""

    run: Callable[[Size, torch.device], Figures]
    budget_s: float


PARTS = {
    "decode bf16": Part(decoding, 100),  # compiling takes up to a minute of it
    "decode int8": Part(partial(decoding, quantization="int8"), 75),
    "decode nf4": Part(partial(decoding, quantization="nf4"), 75),
    "encoder forms": Part(encoder_forms, 45),
    "graph hits": Part(graph_hits, 85),  # it compiles for 1, 2 and 4 texts
    "stage 1": Part(stage_1, 45),
    "stage 3": Part(stage_3, 55),
}
"""Their budgets are the eight minutes."""


def alone(name: str, seconds: float, *, device: str, small: bool) -> Figures:
    """Run a part in a process of its own; what goes wrong there is its result."""
    command = [sys.executable, "-m", "bench.gpu", "--part", name, "--device", device]
    command += ["--small"] if small else []
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"failed": f"not done within {seconds:.0f} s"}
    if done.returncode:
        return {"failed": f"it ended with status {done.returncode}; its error stands above"}
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def run_parts(
    run: Callable[[str, float], Figures],
    record: Callable[[Mapping[str, Figures]], None],
    seconds: float = SECONDS,
) -> dict[str, Figures]:
    """Run every part for which there is time left, and record what is there after each.

    Parameters
    ----------
    run : callable
        Name and seconds that it may take -> its figures.
    record : callable
        Told all figures so far.
    seconds : float
        In all.
    """
    begun, results = time.perf_counter(), {}
    for name, part in PARTS.items():
        left = seconds - (time.perf_counter() - begun)
        if left <= 0:
            results[name] = {"failed": f"no time was left of {seconds:.0f} s"}
        else:
            started = time.perf_counter()
            figures = run(name, min(part.budget_s, left))
            results[name] = {"wall_s": round(time.perf_counter() - started, 1), **figures}
        record(results)
    return results


def goals(results: Mapping[str, Figures]) -> Figures:
    """What was wanted beside what was found; None where a part has no figure."""
    plain = results.get("encoder forms", {}).get("median_seconds", {})
    ours = plain.get("inference as a CUDA graph", plain.get("inference"))
    bf16 = results.get("decode bf16", {})
    return {
        "share of the bandwidth limit, at least 0.85": bf16.get("of_bandwidth_limit"),
        "prefill by its limit, at most 3": bf16.get("prefill_times_limit"),
        "encoder by its published form, at least 4": ours and round(plain["published"] / ours, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="all parts at small size, on a CPU")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--record", type=Path, help=f"default {RECORD.name}; none with --small")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    name = "cpu" if options.small else options.device
    if options.part:
        print(json.dumps(PARTS[options.part].run(SIZES[options.small], choose_device(name))))
        return
    if not options.small and not torch.cuda.is_available():
        raise SystemExit("no CUDA device: torch sees no GPU here; --small proves the script")
    about = {"device": decode.device_name(torch.device(name)), "torch": torch.__version__}
    target = options.record or (None if options.small else RECORD)

    def record(results: Mapping[str, Figures]) -> None:
        found = about | {"small": options.small, "goals": goals(results), "parts": results}
        if target:
            target.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")

    results = run_parts(partial(alone, device=name, small=options.small), record)
    print(json.dumps(about | {"goals": goals(results), "parts": results}, indent=2))


if __name__ == "__main__":
    main()
