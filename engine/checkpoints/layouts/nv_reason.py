"""NV-Reason-CT as published (`nvidia/NV-Reason-CT`), without `trust_remote_code`.

The stock 2D tower of Qwen3.5 is in the file and is left out: the authors' processor refuses images.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers.models.qwen3_5 import Qwen3_5TextConfig

from dicom_io.model_input.preprocess import PreprocessSpec
from engine.checkpoints.description import Layout, Prompt
from engine.checkpoints.weights import HEAD, TensorInfo, begin_as, count_layers
from engine.network.families.nv_reason import NVReasonConfig
from engine.network.towers.primus import PrimusConfig

DEAD = ("model.visual.", "model.vision3d.sub_vision.mask_token")

OWN = {
    "model.vision3d.sub_vision.": "model.vision_tower.",
    "model.vision3d.merger.": "model.mm_projector.",
    "model.language_model.": "model.",
}
"""What names begin with in the file, and here."""

HEAD_WIDTH = 72
"""Of the tower; no tensor tells it."""

SPACING_MM, TOLERANCE_MM = 2.0, 0.2

PROMPT = Prompt(
    "write a structured chest CT report",
    image_token="<|image_pad|>",  # noqa: S106 - a token of text
    eos_token="<|im_end|>",  # noqa: S106
    answers_questions=True,
    before_image="<|im_start|>user\n<|vision_start|>",
    after_image="<|vision_end|>",
    # an empty thought: the answer comes at once
    after_question="<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
)


def own_names(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Names of the file -> the network's; what nothing reads, and the tied head, are left out."""
    return {
        begin_as(OWN, name): value
        for name, value in stored.items()
        if not name.startswith(DEAD) and name != HEAD
    }


def _nv_reason(
    config: Mapping[str, Any], headers: Mapping[str, TensorInfo], folder: Path
) -> NVReasonConfig:
    text = dict(config["text_config"])
    text.pop("model_type", None)
    if not text.get("tie_word_embeddings", config.get("tie_word_embeddings", True)):
        raise ValueError("tie_word_embeddings is false; the published head is the embeddings")
    width, _, patch, _, _ = headers["model.vision_tower.down_projection.proj.weight"].shape
    begin = "model.vision_tower.eva.blocks."
    vision = PrimusConfig(
        input_size=tuple(config.get("vit3d_input_shape", PrimusConfig().input_size)),
        patch=patch,
        width=width,
        layers=count_layers(headers, begin),
        heads=width // HEAD_WIDTH,
        mlp=headers[f"{begin}0.mlp.fc1_g.bias"].shape[0],
    )
    return NVReasonConfig(vision, Qwen3_5TextConfig(**{**text, "tie_word_embeddings": True}))


def _preprocess(network: NVReasonConfig) -> PreprocessSpec:
    return PreprocessSpec(
        size=network.vision.input_size,
        window=(0.0, 2000.0),
        scaling="fixed",
        crop_foreground=False,
        spacing_mm=(SPACING_MM,) * 3,
        spacing_tolerance_mm=TOLERANCE_MM,
        centre="lungs",
        orientation="SPL",
    )


def _provenance(stored: Mapping[str, TensorInfo]) -> dict[str, Any]:
    dead = sum(name.startswith(DEAD) for name in stored)
    if not dead:
        return {}
    return {"left out": f"the tower for 2D images ({dead} tensors), which a volume does not need"}


NV_REASON = Layout(
    _nv_reason,
    PROMPT,
    own_names,
    provenance=_provenance,
    preprocess=_preprocess,
    regions=("chest",),
)
