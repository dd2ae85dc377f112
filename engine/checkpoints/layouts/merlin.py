"""Merlin's two files: for reports (`resnet_gpt2_…`), and the pair (`i3_resnet_…`).

Each is a state dict alone, so the folder is put together: docs/families.md says how. The adapters
(LoRA) of the first are merged while it is read. The two image encoders differ, and are not shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers.models.llama import LlamaConfig
from transformers.models.longformer import LongformerConfig

from dicom_io.errors import CheckpointMismatch
from dicom_io.model_input.preprocess import PreprocessSpec
from engine.checkpoints.adapters import LORA_A, LORA_B, merge_lora
from engine.checkpoints.description import Layout, Prompt
from engine.checkpoints.layouts.vlm_qwen import llm_config
from engine.checkpoints.weights import TensorInfo, begin_as, count_layers
from engine.network.families.merlin import ORGANS, MerlinConfig
from engine.network.families.merlin_pair import MerlinPairConfig
from engine.network.towers.resnet3d import ResNet3DConfig

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
        count_layers(headers, f"model.vision_tower.layer{stage}.") for stage in (1, 2, 3, 4)
    )
    if not (first and second and third and fourth):
        raise CheckpointMismatch(f"{folder} holds no vision tower of Merlin")
    vocab_size, _ = headers["model.embed_tokens.weight"].shape
    size = config.get("input_size", ResNet3DConfig().input_size)
    return MerlinConfig(
        vision=ResNet3DConfig(tuple(size), (first, second, third, fourth)),
        llm=llm_config(LlamaConfig, {**config, "vocab_size": vocab_size}),
    )


DEAD = ("logit_scale", "encode_image.i3_resnet.classifier.", "encode_text.text_encoder.pooler.")
"""What retrieval does not read: the classifier names 1692 phenotypes."""

PAIR = {
    "encode_image.i3_resnet.contrastive_head.": "contrastive_head.",
    "encode_image.i3_resnet.": "vision_encoder.",
    "encode_text.text_encoder.": "text_encoder.",
    "encode_text.linear_layer.": "linear_layer.",
}

WINDOW = 512
"""Of Clinical-Longformer's attention; no tensor tells it."""

TEXT_HEAD_WIDTH = 64


def pair_names(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Names of the pair's file -> the network's; what retrieval does not read is left out."""
    return {
        begin_as(PAIR, name): value
        for name, value in stored.items()
        if not name.startswith(DEAD) and not name.endswith("embeddings.position_ids")
    }


def _pair(
    config: Mapping[str, Any], headers: Mapping[str, TensorInfo], folder: Path
) -> MerlinPairConfig:
    first, second, third, fourth = (
        count_layers(headers, f"vision_encoder.layer{stage}.") for stage in (1, 2, 3, 4)
    )
    vocabulary, width = headers["text_encoder.embeddings.word_embeddings.weight"].shape
    positions, _ = headers["text_encoder.embeddings.position_embeddings.weight"].shape
    inner = headers["text_encoder.encoder.layer.0.intermediate.dense.bias"].shape[0]
    layers = count_layers(headers, "text_encoder.encoder.layer.")
    text = LongformerConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // TEXT_HEAD_WIDTH,
        intermediate_size=inner,
        max_position_embeddings=positions,
        attention_window=config.get("attention_window", [WINDOW] * layers),
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        pad_token_id=1,
    )
    size = config.get("input_size", ResNet3DConfig().input_size)
    vision = ResNet3DConfig(tuple(size), (first, second, third, fourth))
    return MerlinPairConfig(vision, text, headers["contrastive_head.bias"].shape[0])


def _pair_provenance(stored: Mapping[str, TensorInfo]) -> dict[str, Any]:
    left = sum(name.startswith(DEAD) for name in stored)
    return {"left out": f"{left} tensors that retrieval does not read"} if left else {}


def _preprocess(network: MerlinConfig | MerlinPairConfig) -> PreprocessSpec:
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
MERLIN_PAIR = Layout(
    _pair,
    renaming=pair_names,
    provenance=_pair_provenance,
    preprocess=_preprocess,
    regions=("abdomen", "pelvis"),
)
