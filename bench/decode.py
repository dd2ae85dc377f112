"""Decoding: tokens per second at batch 1 against the card's own limits, beside Hugging Face's.

Random weights in the shape of the published 7B (or a small one, to prove the program on a CPU), a
prompt of 320 tokens, greedy. Both sides run in turns in one process on the same weights. The limits
are measured on the same device: a large copy for bandwidth, a large matrix product for arithmetic.
Run `python -m bench.decode --shape small --device cpu`; see bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Qwen2ForCausalLM
from transformers.models.qwen2 import Qwen2Config

from engine.checkpoints.decoding import Decoding
from engine.inference.device import DTYPES, choose_device, choose_dtype
from engine.inference.generation import Generator
from engine.inference.quantization import QUANTIZATIONS, quantize
from engine.network.families.med3dvlm import Med3DVLM, Med3DVLMConfig
from engine.network.projector import PUBLISHED
from engine.protocol import Sampling
from engine.sizes.memory import (
    PUBLISHED_MODEL,
    Load,
    bytes_per_token,
    memory_by_part,
    peak_bytes,
    weight_bytes,
)

PROMPT_TOKENS = 320
SMALL = Med3DVLMConfig(
    PUBLISHED_MODEL.vision,
    replace(PUBLISHED, width=512),
    Qwen2Config(
        vocab_size=4096,
        hidden_size=512,
        intermediate_size=2048,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=2,
    ),
)
TINY = replace(
    SMALL,
    projector=replace(PUBLISHED, width=64),
    llm=Qwen2Config(
        vocab_size=512,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    ),
)
SHAPES = {"published": PUBLISHED_MODEL, "small": SMALL, "tiny": TINY}


def random_network(config: Med3DVLMConfig, device: torch.device, dtype: torch.dtype) -> Med3DVLM:
    """Build a network with normal weights; the logits are spread out, so that no two tie."""
    network = Med3DVLM.without_weights(config).to(dtype).to_empty(device=device)
    network.model.rotary_emb = type(network.model.rotary_emb)(config.llm).to(device)
    torch.manual_seed(0)
    for tensor in [*network.parameters(), *network.buffers()]:
        if tensor.ndim >= 2:
            tensor.data.normal_(std=0.02)
    for name, tensor in network.state_dict().items():
        if tensor.ndim == 1:
            tensor.fill_(0 if name.endswith(("bias", "running_mean")) else 1)
    network.lm_head.weight.data.mul_(20)
    network.get_submodule("model.vision_tower").float()
    return network.eval()


def twin(network: Med3DVLM) -> Qwen2ForCausalLM:
    """Put the same weights into transformers' own class."""
    with torch.device("meta"):
        model = Qwen2ForCausalLM(network.config.llm)
    model.model, model.lm_head = network.model, network.lm_head
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    return model.eval()


def seconds(run: Callable[[], object], device: torch.device) -> float:
    synchronise(device)
    start = time.perf_counter()
    run()
    synchronise(device)
    return time.perf_counter() - start


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def copy_bandwidth(device: torch.device) -> float:
    """Bytes per second that a large copy reads and writes."""
    size = 2**30 if device.type == "cuda" else 2**27
    source = torch.empty(size, dtype=torch.uint8, device=device).fill_(1)
    target = torch.empty_like(source)
    times = [seconds(lambda: target.copy_(source), device) for _ in range(8)]
    return 2 * size / min(times)


def arithmetic(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of a large matrix product."""
    n = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    times = [seconds(lambda: a @ b, device) for _ in range(8)]
    return 2 * n**3 / min(times)


class Side:
    """One way to decode, timed as a prompt with 1 and with `tokens` new tokens."""

    def __init__(self, decode: Callable[[int], Any], tokens: int, device: torch.device):
        self._decode, self.tokens, self._device = decode, tokens, device
        self.first_call_s = seconds(lambda: decode(tokens), device)
        self.rates: list[float] = []
        self.prefills: list[float] = []

    def round(self) -> None:
        prefill = seconds(lambda: self._decode(1), self._device)
        whole = seconds(lambda: self._decode(self.tokens), self._device)
        self.prefills.append(prefill)
        self.rates.append((self.tokens - 1) / (whole - prefill))

    @property
    def tokens_per_s(self) -> float:
        return statistics.median(self.rates)

    @property
    def prefill_s(self) -> float:
        return statistics.median(self.prefills)


@torch.inference_mode()
def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    device = choose_device(arguments.device)
    dtype = choose_dtype(arguments.dtype, device)
    config, tokens = SHAPES[arguments.shape], arguments.tokens
    network = random_network(config, device, dtype)
    quantize(network, arguments.quantization, device)
    prompt = torch.randn(PROMPT_TOKENS, config.llm.hidden_size, device=device, dtype=dtype)
    generator, reference = Generator(network, Decoding()), twin(network)

    def ours(n: int) -> list[int]:
        sampling = Sampling(max_new_tokens=n, stop_at_loop=False)
        return list(generator.write(generator.read([prompt]), sampling)[0].ids)

    def theirs(n: int) -> list[int]:
        found: Tensor = reference.generate(
            inputs_embeds=prompt[None],
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long, device=device),
            max_new_tokens=n,
            do_sample=False,
        )
        return found[0].tolist()

    measured = peak_memory(network, lambda: ours(tokens), device)
    sides = Side(ours, tokens, device), Side(theirs, tokens, device)
    for _ in range(arguments.rounds):
        for side in sides:
            side.round()
    same = [a == b for a, b in zip(ours(tokens), theirs(tokens), strict=True)]
    load = Load(question_tokens=PROMPT_TOKENS - network.image_token_count, new_tokens=tokens)
    counted = memory_by_part(config, dtype, arguments.quantization, load)
    return {
        "device": device_name(device),
        "torch": torch.__version__,
        "shape": arguments.shape,
        "dtype": str(dtype).removeprefix("torch."),
        "quantization": arguments.quantization,
        "new_tokens": tokens,
        "rounds": arguments.rounds,
        **speed(*sides, network, dtype, device),
        "first_call_s": round(sides[0].first_call_s, 2),
        "first_tokens_equal": same.index(False) if False in same else tokens,
        "counted_mib": {k: round(v / 2**20, 1) for k, v in counted.items()},
        "counted_total_mib": round(sum(counted.values()) / 2**20, 1),
        "measured_mib": measured,
    }


def speed(
    mine: Side, reference: Side, network: Med3DVLM, dtype: torch.dtype, device: torch.device
) -> dict[str, float]:
    """Rates of both sides, and what the device could do at most."""
    llm, parts = network.config.llm, weight_bytes(network)
    weights = sum(
        p.numel() for p in Med3DVLM.without_weights(network.config).llm_layers.parameters()
    )
    context = PROMPT_TOKENS + mine.tokens // 2
    read = parts["layers"] + parts["head"] + context * bytes_per_token(llm, dtype)
    limit = copy_bandwidth(device) / read
    least_prefill = 2 * weights * PROMPT_TOKENS / arithmetic(device, dtype)
    return {
        "tokens_per_s": round(mine.tokens_per_s, 2),
        "hugging_face_tokens_per_s": round(reference.tokens_per_s, 2),
        "bandwidth_limit_tokens_per_s": round(limit, 2),
        "of_bandwidth_limit": round(mine.tokens_per_s / limit, 3),
        "hugging_face_of_bandwidth_limit": round(reference.tokens_per_s / limit, 3),
        "prefill_s": round(mine.prefill_s, 5),
        "hugging_face_prefill_s": round(reference.prefill_s, 5),
        "prefill_limit_s": round(least_prefill, 5),
        "prefill_times_limit": round(mine.prefill_s / least_prefill, 2),
    }


def peak_memory(network: Med3DVLM, decode: Callable[[], object], device: torch.device) -> float:
    """Return the most MiB that encoding a volume and one text allocate, weights included.

    On a CPU the tensors are followed that operators make.
    """
    volume = torch.zeros(1, 1, *network.config.vision.input_size, device=device)

    def run() -> None:
        network.image_tokens(network.encode_image(volume))
        decode()

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        run()
        peak = torch.cuda.max_memory_allocated(device)
    else:
        held = [*network.parameters(), *network.buffers()]
        peak = sum(t.untyped_storage().nbytes() for t in held) + peak_bytes(run, [*held, volume])
    return round(peak / 2**20, 1)


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="published")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", choices=["auto", *DTYPES], default="auto")
    parser.add_argument("--quantization", choices=QUANTIZATIONS, default="none")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--record", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    text = json.dumps(measure(arguments), indent=2)
    print(text)
    if arguments.record:
        arguments.record.parent.mkdir(parents=True, exist_ok=True)
        arguments.record.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
