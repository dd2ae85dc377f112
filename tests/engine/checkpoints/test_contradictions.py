"""Checkpoints whose parts contradict one another stop at loading, and say where."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from dicom_io.errors import CheckpointMismatch
from engine.checkpoints.checkpoint import describe, load_checkpoint
from engine.checkpoints.folder import seal
from engine.checkpoints.inspection import inspect_checkpoint

Config = dict[str, Any]
WEIGHT = "model.layers.0.mlp.up_proj.weight"


def put(*keys: str, to: object) -> Callable[[Config], None]:
    """Change one value of config.json."""

    def change(config: Config) -> None:
        for key in keys[:-1]:
            config = config[key]
        config[keys[-1]] = to

    return change


CONFIGS = [
    (put("network", "projector", "high", "tokens", to=9), "high stream reads 9 tokens"),
    (put("network", "projector", "low", "channels", to=7), "low stream reads .* of 7"),
    (put("network", "projector", "width", to=32), "tokens of 32, the language model's have 16"),
    (put("text_config", "max_position_embeddings", to=8), "8 image tokens leave no room"),
    (put("preprocess", "size", to=[64, 64, 64]), "prepared to .* the vision tower reads"),
    (put("text_config", "num_hidden_layers", to=10**9), "num_hidden_layers is 1000000000"),
    (put("text_config", "vocab_size", to=10**12), "vocab_size is"),
    (put("network", "vision", "blocks", to=[1, 1, 1, 10**6]), "blocks is 1000000"),
    (put("text_config", "hidden_size", to=-16), "config.json"),
    (put("text_config", "num_attention_heads", to=0), "config.json"),
]


@pytest.mark.parametrize(("change", "why"), CONFIGS)
def test_sizes_that_contradict_one_another(
    folder: Path, change: Callable[[Config], None], why: str
) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))
    seal(folder)
    with pytest.raises(CheckpointMismatch, match=why):
        load_checkpoint(folder)


def test_a_billion_layers_of_another_layout_are_never_listed(tmp_path: Path) -> None:
    config = {"model_type": "vlm_qwen", "num_hidden_layers": 10**9, "hidden_size": 16}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointMismatch, match="num_hidden_layers is 1000000000"):
        describe(tmp_path)


@pytest.mark.parametrize("odd", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_one_weight_that_is_no_number(folder: Path, odd: float, dtype: torch.dtype) -> None:
    weights = load_file(folder / "model.safetensors")
    weights[WEIGHT] = weights[WEIGHT].to(dtype)
    weights[WEIGHT][3, 5] = odd
    save_file(weights, folder / "model.safetensors")
    seal(folder)
    with pytest.raises(CheckpointMismatch, match=f"not finite: {WEIGHT}"):
        load_checkpoint(folder)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.uint8, torch.bool])
def test_whole_numbers_in_place_of_weights(folder: Path, dtype: torch.dtype) -> None:
    weights = load_file(folder / "model.safetensors")
    weights[WEIGHT] = weights[WEIGHT].to(dtype)
    save_file(weights, folder / "model.safetensors")
    seal(folder)
    with pytest.raises(CheckpointMismatch, match=f"of whole numbers: {WEIGHT}"):
        load_checkpoint(folder)
    assert any("of whole numbers" in fault for fault in inspect_checkpoint(folder)["faults"])


NAMES = ("config.json", "tokenizer_config.json", "generation_config.json")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000, "[]", "\ufffd", '{"a": '])
def test_json_that_is_no_object_or_has_no_bottom(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    seal(folder)
    if name == "tokenizer_config.json":  # a native checkpoint's prompt says what ends a text
        load_checkpoint(folder)
        return
    with pytest.raises(CheckpointMismatch, match=name):
        load_checkpoint(folder)


def test_a_tokenizer_with_more_words_than_the_model(folder: Path) -> None:
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text())
    values["model"]["vocab"]["▁kidney"] = 99
    path.write_text(json.dumps(values))
    seal(folder)
    with pytest.raises(CheckpointMismatch, match="token 99; the language model has 16 tokens"):
        load_checkpoint(folder)
    assert "token 99" in inspect_checkpoint(folder)["faults"][0]


def test_a_missing_tokenizer_is_told_without_loading(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    seal(folder)
    describe(folder)
    assert [fault for fault in inspect_checkpoint(folder)["faults"] if "tokenizer.json" in fault]


def test_a_whole_checkpoint_has_no_faults(folder: Path) -> None:
    assert inspect_checkpoint(folder)["faults"] == []
