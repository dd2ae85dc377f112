"""RadFM in small, filled from its published names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers.models.llama import LlamaConfig

from engine.checkpoints.layouts.radfm import SAME, own_names
from engine.checkpoints.weights import TensorInfo, assemble
from engine.network.families.radfm import RadFM, RadFMConfig, RadFMViTConfig
from tests.engine.golden import FAMILIES, filled_tensor

GOLDEN: dict[str, Any] = FAMILIES["radfm"]

VISION = RadFMViTConfig((8, 64, 96), width=48, layers=2, feed_forward=16)
"""Of the folder; the figures are printed for the published sizes."""

SPECIAL = ("<image>", "</image>", "<image0>")


def published_layout() -> dict[str, TensorInfo]:
    """Names and shapes of the file; `layout` has the first of equal layers alone."""
    found = {}
    for name, shape in GOLDEN["layout"].items():
        begin = next((b for b in GOLDEN["layers"] if name.startswith(f"{b}0.")), "")
        for number in range(GOLDEN["layers"].get(begin, 1)):
            own = f"{begin}{number}{name.removeprefix(f'{begin}0')}" if begin else name
            found[own] = TensorInfo("float32", tuple(shape))
    return found


def published_tensors(config: RadFMConfig) -> dict[str, Tensor]:
    """What the file holds, some dead weight too."""
    published = {own: name for name in published_layout() for own in own_names({name: None})}
    with torch.device("meta"):
        shapes = {n: tuple(t.shape) for n, t in RadFM(config).state_dict().items()}
    filled = {published[n]: filled_tensor(published[n], shape) for n, shape in shapes.items()}
    frequencies = "lang_model.model.layers.0.self_attn.rotary_emb.inv_freq"
    dead = {"embedding_layer.cls_head.bias": torch.zeros(1), frequencies: torch.ones(8)}
    return filled | dead | {SAME[1]: filled[SAME[0]].clone()}


def filled_radfm(config: RadFMConfig) -> RadFM:
    return assemble(RadFM.without_weights(config), own_names(published_tensors(config)))


def write_folder(folder: Path) -> Path:
    """The file, and LLaMA's settings as they were; a small vocabulary of letters."""
    letters = [chr(code) for code in range(32, 127)]
    vocabulary = {token: i for i, token in enumerate(["<unk>", "<s>", "</s>", *letters])}
    words = len(vocabulary)
    vocabulary |= {token: words + number for number, token in enumerate(SPECIAL)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(["<s>", "</s>", *SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    llm = {**GOLDEN["llm_config"], "vocab_size": words}
    told = {**llm, "input_size": VISION.input_size, "model_type": "radfm"}
    (folder / "config.json").write_text(json.dumps(told))
    save_file(published_tensors(RadFMConfig(VISION, llama(words))), folder / "model.safetensors")
    return folder


def llama(vocabulary: int) -> LlamaConfig:
    return LlamaConfig(**{**GOLDEN["llm_config"], "vocab_size": vocabulary, "pad_token_id": None})
