"""Merlin of a few blocks, in the file that its authors publish, filled from its names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.checkpoints.layouts.merlin import PAIR
from engine.network.families.merlin import Merlin, MerlinConfig
from engine.network.families.merlin_pair import MerlinPair, MerlinPairConfig
from engine.network.towers.resnet3d import ResNet3DConfig
from tests.engine.golden import FAMILIES, filled_tensor
from tests.engine.lamed import write_tokenizer

GOLDEN: dict[str, Any] = FAMILIES["merlin"]
BLOCKS = (1, 2, 1, 1)
RANK = 512
NUMBERS = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
LLM = "decode_text.text_decoder.base_model.model."
LLAMA: dict[str, Any] = {
    **GOLDEN["report"]["llm_config"],
    "num_key_value_heads": 4,
    "max_position_embeddings": 4096,
    "rope_theta": 10000.0,
}


def published_name(name: str) -> str:
    if name.startswith("model.vision_tower."):
        module, _, rest = name.removeprefix("model.vision_tower.").partition(".")
        return f"encode_image.vision_model.features.{NUMBERS[module]}.{rest}"
    if name.startswith("model.mm_projector."):
        return name.replace("model.mm_projector", "adapter.linear2")
    if name.endswith(("q_proj.weight", "v_proj.weight")):
        name = name.replace(".weight", ".base_layer.weight")
    return f"{LLM}{name}"


def published_tensors(config: MerlinConfig) -> dict[str, Tensor]:
    """The state dict of the file: a network's names, and adapters of their own."""
    with torch.device("meta"):
        shapes = {n: tuple(t.shape) for n, t in Merlin(config).state_dict().items()}
    tensors = {
        name: torch.tensor(0)
        if name.endswith("num_batches_tracked")
        else filled_tensor(name, shape)
        for name, shape in ((published_name(n), shape) for n, shape in shapes.items())
    }
    for name in [n for n in tensors if n.endswith(".base_layer.weight")]:
        out, into = tensors[name].shape
        for half, shape in (("lora_A", (RANK, into)), ("lora_B", (out, RANK))):
            own = name.replace("base_layer", f"{half}.default")
            tensors[own] = filled_tensor(own, shape)
    return tensors


def pair_tensors(config: MerlinPairConfig) -> dict[str, Tensor]:
    """The state dict of the pair's file, with what nothing reads."""
    with torch.device("meta"):
        shapes = {n: tuple(t.shape) for n, t in MerlinPair(config).state_dict().items()}
    tensors = {"logit_scale": torch.ones(())}
    for name, shape in shapes.items():
        begin = next(begin for begin, own in PAIR.items() if name.startswith(own))
        stored = begin + name.removeprefix(PAIR[begin])
        count = name.endswith("num_batches_tracked")
        tensors[stored] = torch.tensor(0) if count else filled_tensor(stored, shape)
    return tensors


def write_folder(folder: Path, size: tuple[int, int, int], **changes: Any) -> Path:
    """The folder that docs/checkpoints.md lets users put together."""
    from transformers.models.llama import LlamaConfig

    llm = {**LLAMA, "vocab_size": 344, **changes}
    config = MerlinConfig(ResNet3DConfig(size, BLOCKS), LlamaConfig(**llm))
    folder.mkdir(exist_ok=True)
    torch.save(published_tensors(config), folder / "pytorch_model.bin")
    told = {**llm, "model_type": "merlin_report", "input_size": size}
    (folder / "config.json").write_text(json.dumps(told))
    (folder / "generation_config.json").write_text('{"eos_token_id": 2, "repetition_penalty": 1.2}')
    write_tokenizer(folder)
    return folder
