"""NV-Reason-CT in small, filled from its published names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers.models.qwen3_5 import Qwen3_5TextConfig

from engine.checkpoints.weights import assemble
from engine.network.families.nv_reason import NVReason, NVReasonConfig
from engine.network.towers.primus import PrimusConfig
from tests.engine.golden import FAMILIES, filled_tensor

GOLDEN: dict[str, Any] = FAMILIES["nv_reason"]
TEXT: dict[str, Any] = GOLDEN["vlm"]["text_config"]
VISION = PrimusConfig((24, 16, 32))
IMAGE = 290

NAMES = {
    "model.vision_tower.": "model.vision3d.sub_vision.",
    "model.mm_projector.": "model.vision3d.merger.",
    "model.": "model.language_model.",
}


def published_name(name: str) -> str:
    own = next((begin for begin in NAMES if name.startswith(begin)), "")
    return NAMES.get(own, "") + name.removeprefix(own)


def published_tensors(config: NVReasonConfig) -> dict[str, Tensor]:
    """What the file holds, but for what nothing reads."""
    with torch.device("meta"):
        shapes = {n: tuple(t.shape) for n, t in NVReason(config).state_dict().items()}
    stored = {published_name(name): shape for name, shape in shapes.items()}
    tensors = {name: filled_tensor(name, shape) for name, shape in stored.items()}
    tensors["lm_head.weight"] = tensors["model.language_model.embed_tokens.weight"].clone()
    return tensors


def filled_network(config: NVReasonConfig) -> NVReason:
    tensors = published_tensors(config)
    with torch.device("meta"):
        names = list(NVReason(config).state_dict())
    own = {name: tensors[published_name(name)] for name in names}
    return assemble(NVReason.without_weights(config), own, tied=True)


def write_folder(folder: Path) -> Path:
    """The published layout with a small vocabulary of letters."""
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
              "<|image_pad|>"]  # fmt: skip
    words = ["user", "assistant", "<think>", "</think>"]
    letters = [chr(code) for code in range(32, 127)] + ["\n"]
    vocabulary = {token: i for i, token in enumerate([*tokens, *words, *letters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="~"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(
        Regex(r"user|assistant|</?think>|[\s\S]"), "isolated"
    )
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(tokens)
    config = NVReasonConfig(VISION, Qwen3_5TextConfig(**TEXT))
    dead = {"model.visual.blocks.0.weight": torch.zeros(2, 2),
            "model.vision3d.sub_vision.mask_token": torch.zeros(1, 1, 864)}  # fmt: skip
    tensors = {n: t.to(torch.bfloat16) for n, t in (published_tensors(config) | dead).items()}
    save_file(tensors, folder / "model.safetensors")
    told = {"model_type": "nv_reason_ct", "vit3d_input_shape": VISION.input_size,
            "text_config": {"model_type": "qwen3_5_text", **TEXT}}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(told))
    (folder / "generation_config.json").write_text('{"eos_token_id": [2, 0]}')
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<|im_end|>"}')
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
