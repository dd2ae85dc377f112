"""Memory and time of loading a checkpoint: `python -m bench.checkpoint`.

A published Med3DVLM with a language model of Qwen2.5-0.5B's shape, its head untied, is filled by a
formula and saved in bfloat16, in shards. It is then loaded as it is stored, and in float32, each in
a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer, models
from transformers.models.qwen2 import Qwen2Config

from engine.checkpoints.checkpoint import load_checkpoint
from engine.checkpoints.families import build
from engine.checkpoints.layouts.vlm_qwen import vlm_qwen_config
from engine.checkpoints.weights import write_tensors
from engine.network.families.med3dvlm import Med3DVLMConfig
from engine.network.projector import PUBLISHED, ProjectorConfig
from engine.network.towers.dcformer import VARIANTS

LLM = {
    "vocab_size": 151666,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1e6,
}
MEBI = 1 << 20


def write_published(folder: Path) -> int:
    """Write the checkpoint, and return how many bytes its weights take."""
    projector = ProjectorConfig(PUBLISHED.low, PUBLISHED.high, LLM["hidden_size"])
    config = Med3DVLMConfig(VARIANTS["small"], projector, Qwen2Config(**LLM), "published")
    state = build(config).state_dict()
    tensors = {
        name: (torch.arange(tensor.numel()) % 97 / 970 - 0.05).view(tensor.shape).bfloat16()
        for name, tensor in state.items()
    }
    write_tensors(tensors, folder, shard_bytes=500_000_000)
    (folder / "config.json").write_text(json.dumps(vlm_qwen_config(LLM)))
    tokenizer = Tokenizer(models.WordLevel({"<im_patch>": 0, "<|im_end|>": 1}, "<|im_end|>"))
    tokenizer.save(str(folder / "tokenizer.json"))
    return sum(tensor.nbytes for tensor in tensors.values())


def memory(kind: str) -> int:
    """Return this process's resident memory, "RssAnon" or "RssFile", in bytes."""
    status = Path("/proc/self/status").read_text()
    return next(int(li.split()[1]) * 1024 for li in status.splitlines() if li.startswith(kind))


def load(folder: Path, dtype: str) -> dict[str, float]:
    """Load in this process, and watch its anonymous memory meanwhile."""
    before, peak, done = memory("RssAnon"), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, memory("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    model = load_checkpoint(folder, dtype=getattr(torch, dtype)).model
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    held = sum(tensor.nbytes for tensor in model.state_dict().values())
    return {
        "seconds": round(seconds, 2),
        "model_mib": held // MEBI,
        "peak_anonymous_mib": (peak - before) // MEBI,
    }


def main() -> None:
    if len(sys.argv) == 3:
        print(json.dumps(load(Path(sys.argv[1]), sys.argv[2])))
        return
    with tempfile.TemporaryDirectory() as folder:
        facts: dict[str, object] = {"weights_mib": write_published(Path(folder)) // MEBI}
        for dtype in ("bfloat16", "float32"):
            command = [sys.executable, "-m", "bench.checkpoint", folder, dtype]
            facts[dtype] = json.loads(subprocess.check_output(command))
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
