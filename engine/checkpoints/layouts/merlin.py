"""Merlin's file for reports, `resnet_gpt2_best_stanford_report_generation_average.pt`.

The file is a state dict alone, so the folder is put together: docs/checkpoints.md says how. Its
adapters (LoRA) are merged while it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers.models.llama import LlamaConfig

from dicom_io.errors import CheckpointMismatch
from dicom_io.model_input.preprocess import PreprocessSpec
from engine.checkpoints.adapters import LORA_A, LORA_B, merge_lora
from engine.checkpoints.description import Layout, Prompt
from engine.checkpoints.layouts.vlm_qwen import llm_config
from engine.checkpoints.weights import TensorInfo
from engine.network.merlin import ORGANS, MerlinConfig
from engine.network.resnet3d import ResNet3DConfig

LORA_ALPHA = 16
"""Of the authors' code; its rank, 512, is in the tensors."""

SPACING_MM = (3.0, 1.5, 1.5)
"""Of the authors' MONAI transforms, as (slices, columns, rows)."""

STAGES = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
"""The tower's modules by their number in the authors' `nn.Sequential`."""

FEATURES = "encode_image.vision_model.features."
LLM = "decode_text.text_decoder.base_model.model."
ADAPTER = "adapter.linear2."

PROMPT = Prompt(
    "Generate a radiology report for {part}###\n",
    image_token="<unk>",  # noqa: S106 - a token of Llama's own that no text becomes
    eos_token="</s>",  # noqa: S106
    parts=ORGANS,
    cut_at="###",
)


def report_names(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Names of the file -> the network's; adapters are merged, or left out of headers."""
    named = {_own(name): value for name, value in stored.items()}
    ranks = [value.shape[0] for name, value in named.items() if LORA_A in name]
    if ranks and isinstance(next(iter(named.values())), Tensor):
        return merge_lora(named, LORA_ALPHA / ranks[0])
    return {name: v for name, v in named.items() if LORA_A not in name and LORA_B not in name}


def _own(name: str) -> str:
    if name.startswith(FEATURES):
        number, _, rest = name.removeprefix(FEATURES).partition(".")
        return f"model.vision_tower.{STAGES.get(number, number)}.{rest}"
    if name.startswith(ADAPTER):
        return f"model.mm_projector.{name.removeprefix(ADAPTER)}"
    own = name.removeprefix(LLM).replace(".base_layer.", ".")
    return own.replace(".default.weight", ".weight")


def _merlin(
    config: Mapping[str, Any], headers: Mapping[str, TensorInfo], folder: Path
) -> MerlinConfig:
    first, second, third, fourth = (
        _blocks(headers, f"model.vision_tower.layer{stage}.") for stage in (1, 2, 3, 4)
    )
    if not (first and second and third and fourth):
        raise CheckpointMismatch(f"{folder} holds no vision tower of Merlin")
    vocab_size, _ = headers["model.embed_tokens.weight"].shape
    size = config.get("input_size", ResNet3DConfig().input_size)
    return MerlinConfig(
        vision=ResNet3DConfig(tuple(size), (first, second, third, fourth)),
        llm=llm_config(LlamaConfig, {**config, "vocab_size": vocab_size}),
    )


def _blocks(headers: Mapping[str, TensorInfo], begin: str) -> int:
    return len({n.removeprefix(begin).split(".")[0] for n in headers if n.startswith(begin)})


def _preprocess(network: MerlinConfig) -> PreprocessSpec:
    return PreprocessSpec(
        size=network.vision.input_size,
        window=(0.0, 2000.0),
        scaling="fixed",
        crop_foreground=False,
        spacing_mm=SPACING_MM,
        orientation="SRA",
    )


def _provenance(stored: Mapping[str, TensorInfo]) -> dict[str, Any]:
    if not any(LORA_A in name for name in stored):
        return {}
    return {"left out": "the adapters by themselves: they are merged into their layers"}


MERLIN_REPORT = Layout(
    _merlin,
    PROMPT,
    report_names,
    provenance=_provenance,
    preprocess=_preprocess,
    regions=("abdomen", "pelvis"),
)
