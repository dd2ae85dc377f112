"""Sixteen studies under way at the same time, and one alone: local decoder and vLLM side by side.

Both write from the same checkpoint with random weights, behind the server of `ctscribe engine` and
its client, in turns. Texts have a fixed length. Run `make vllm`, then `python -m bench.decoders`;
see bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import uvicorn
from tokenizers import Tokenizer, decoders, models
from transformers.models.qwen2 import Qwen2Config

from dicom_io.model_input.preprocess import ModelInput, PreprocessSpec
from engine.checkpoints.checkpoint import Checkpoint, ModelCard, Prompt, save_checkpoint
from engine.checkpoints.llm_export import export_llm
from engine.inference.local import LocalEngine
from engine.network.families.med3dvlm import Med3DVLM, Med3DVLMConfig
from engine.network.projector import ProjectorConfig, StreamConfig
from engine.network.towers.dcformer import DCFormerConfig
from engine.protocol import ReportEngine, Sampling
from engine.serving.client import RemoteEngine
from engine.serving.server import make_app
from engine.serving.vllm import vllm_engine
from engine.serving.vllm_server import VllmServer

PYTHON = Path(os.environ.get("CTSCRIBE_VLLM_PYTHON", ".venv-vllm/bin/python"))
SIZE = (64, 64, 128)
VOCABULARY = 4096


@dataclass(frozen=True)
class Measured:
    """Of one round: tokens a second of all studies, and seconds to a study's first token."""

    tokens_per_s: float
    first_token_s: float
    first_token_alone_s: float


def checkpoint(width: int, layers: int) -> Checkpoint:
    """Return a model with all its parts; what it writes does not matter here."""
    torch.manual_seed(0)
    vision = DCFormerConfig(
        (1, 1, 1, 1), (4, 4, 8, 8, 16), stem="patch", layer_scale=0.1, input_size=SIZE
    )
    streams = (
        StreamConfig(vision.tokens(3), 8, (32, 32)),
        StreamConfig(vision.tokens(4), 16, (32, 32)),
    )
    llm = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        num_key_value_heads=width // 128,
        max_position_embeddings=512,
    )
    model = Med3DVLM(Med3DVLMConfig(vision, ProjectorConfig(*streams, width), llm))
    words = {"<im_patch>": 0, "<eos>": 1, "<unk>": 2}
    words |= {f"w{i}": i for i in range(3, VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(["<im_patch>", "<eos>", "<unk>"])
    card = ModelCard("random", "1", True, (), {})
    return Checkpoint(model.eval(), tokenizer, card, Prompt("w9"), PreprocessSpec(size=SIZE))


@contextmanager
def served(engine: ReportEngine, studies: int, batch: int, at_once: int) -> Iterator[RemoteEngine]:
    app = make_app(engine, in_flight=2 * studies, batch=batch, at_once=at_once)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    client = RemoteEngine(f"http://127.0.0.1:{port}")
    try:
        yield client
    finally:
        client.close()
        server.should_exit = True
        thread.join()


def volume(seed: int) -> ModelInput:
    pixels = np.random.default_rng(seed).random((1, *SIZE), dtype=np.float32)
    return ModelInput(pixels, PreprocessSpec(size=SIZE), np.eye(4), ())


def first_token_s(engine: ReportEngine, seed: int, sampling: Sampling) -> float:
    """Seconds until a text that is streamed begins."""
    begun: list[float] = []
    started = time.perf_counter()
    engine.report(volume(seed), sampling, on_token=lambda _: begun.append(time.perf_counter()))
    return begun[0] - started


def measure(engine: ReportEngine, seed: int, studies: int, sampling: Sampling) -> Measured:
    """Draft other studies in every round: a server remembers its answers."""
    seeds = range(seed, seed + studies)
    volumes = [volume(one) for one in seeds]
    with ThreadPoolExecutor(studies) as pool:
        started = time.perf_counter()
        texts = list(pool.map(lambda one: engine.report(one, sampling), volumes))
        seconds = time.perf_counter() - started
        streamed = pool.map(lambda one: first_token_s(engine, one + studies, sampling), seeds)
        first = statistics.median(streamed)
    alone = first_token_s(engine, seed + 2 * studies, sampling)
    return Measured(sum(len(text.token_ids) for text in texts) / seconds, first, alone)


def medians(rounds: list[Measured]) -> dict[str, float]:
    keys = asdict(rounds[0])
    return {k: round(statistics.median(asdict(one)[k] for one in rounds), 3) for k in keys}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--batch", type=int, default=4, help="of the local decoder")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--record", type=Path)
    asked = parser.parse_args()
    sampling = Sampling(max_new_tokens=asked.tokens, stop_at_loop=False)
    found: dict[str, list[Measured]] = {"local": [], "vllm": []}
    with TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        save_checkpoint(checkpoint(asked.width, asked.layers), folder / "model")
        export_llm(folder / "model", folder / "llm")
        options = ("--dtype=float32", "--enforce-eager")
        vllm = stack.enter_context(VllmServer(folder / "llm", PYTHON.absolute(), options))
        reached = vllm_engine(folder / "model", vllm.url, token=vllm.token, device="cpu")
        there = stack.enter_context(reached)
        here = LocalEngine.load(folder / "model", device="cpu")
        engines = {
            "local": stack.enter_context(served(here, asked.studies, asked.batch, 1)),
            "vllm": stack.enter_context(served(there, asked.studies, 1, asked.studies)),
        }
        for engine in engines.values():  # what is compiled or allocated once
            engine.report(volume(0), sampling)
        for number in range(asked.rounds):
            for name, engine in engines.items():
                seed = 1 + 3 * asked.studies * number
                found[name].append(measure(engine, seed, asked.studies, sampling))
    values = {name: medians(rounds) for name, rounds in found.items()}
    ratios = {k: round(values["vllm"][k] / values["local"][k], 2) for k in values["local"]}
    setting = {k: v for k, v in vars(asked).items() if k != "record"}
    cores = len(os.sched_getaffinity(0))
    told = {"cores": cores, **setting, **values, "vllm_to_local": ratios}
    print(json.dumps(told, indent=2))
    if asked.record:
        asked.record.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
