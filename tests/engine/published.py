"""Checkpoints as the authors' code writes them, with a small language model in place of theirs."""

import json
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers.models.qwen2 import Qwen2Config

from engine.checkpoints.layouts.vlm_qwen import QWEN_EOS
from engine.network.families.med3dvlm import Med3DVLM, Med3DVLMConfig
from engine.network.projector import PUBLISHED, ProjectorConfig
from engine.network.towers.dcformer import VARIANTS
from engine.network.towers.vision import VisionConfig
from tests.engine.conftest import tiny_tokenizer
from tests.engine.golden import FIGURES

CONFIG = FIGURES["vlm"]["config"]
PROJECTOR = replace(PUBLISHED, width=64)


def published_model(
    vision: VisionConfig = VARIANTS["small"],
    projector: ProjectorConfig = PROJECTOR,
) -> Med3DVLM:
    torch.manual_seed(0)
    llm = Qwen2Config(**{k: v for k, v in CONFIG.items() if k in Qwen2Config().to_dict()})
    return Med3DVLM(Med3DVLMConfig(vision, projector, llm, splice="published")).eval()


def published_tokenizer() -> Tokenizer:
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens([QWEN_EOS])
    return tokenizer


def write_settings(folder: Path, **changes: object) -> Path:
    """Configuration and tokenizer, without weights."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | changes, indent=2) + "\n")
    published_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def write_shards(weights: dict[str, Tensor], folder: Path, suffix: str = "safetensors") -> None:
    """Two shards and their index, as `save_pretrained` names them."""
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    names = sorted(weights)
    held = {
        f"{stem}-0000{i + 1}-of-00002.{suffix}": {n: weights[n] for n in names[i::2]}
        for i in range(2)
    }
    for shard, tensors in held.items():
        save = save_file if suffix == "safetensors" else torch.save
        save(tensors, folder / shard)
    weight_map = {name: shard for shard, tensors in held.items() for name in tensors}
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps(index))


def assert_same_state(model: nn.Module, weights: dict[str, Tensor]) -> None:
    state = model.state_dict()
    assert state.keys() == weights.keys()
    assert all(torch.equal(t, weights[name]) for name, t in state.items())


def assert_same_bits(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert tensor.dtype is other[name].dtype, name
        assert torch.equal(tensor, other[name]), name
