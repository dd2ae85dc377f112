"""PMC-CLIP's `checkpoint.pt`: a pair for images, of which retrieval needs the two encoders.

The file is a state dict alone, so the folder is put together: docs/families.md says how.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers.models.bert import BertConfig

from engine.checkpoints.description import Layout
from engine.checkpoints.layouts.vlm_qwen import published_names
from engine.checkpoints.weights import TensorInfo, count_layers
from engine.network.families.pmc_clip import HEAD_WIDTH, PMCClipConfig, SliceEncoderConfig

DEAD = (
    "fusion_module.",
    "mlm_projection",
    "img_special_token",
    "positional_embedding",
    "ln_final.",
    "text_encoder.pooler.",
    "logit_scale",
)
"""What the names of tensors begin with that retrieval does not read."""


def pair_names(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Take off what wrappers put before names, and leave out what retrieval does not read."""
    named = published_names(stored)
    return {name: value for name, value in named.items() if not name.startswith(DEAD)}


def _pmc_clip(
    config: Mapping[str, Any], headers: Mapping[str, TensorInfo], folder: Path
) -> PMCClipConfig:
    first, second, third, fourth = (
        count_layers(headers, f"visual.layer{n}.") for n in (1, 2, 3, 4)
    )
    vocabulary, width = headers["text_encoder.embeddings.word_embeddings.weight"].shape
    positions, _ = headers["text_encoder.embeddings.position_embeddings.weight"].shape
    return PMCClipConfig(
        vision=SliceEncoderConfig(
            input_size=tuple(config.get("input_size", SliceEncoderConfig().input_size)),
            blocks=(first, second, third, fourth),
            stem=headers["visual.conv3.weight"].shape[0],
            output=headers["visual.attnpool.c_proj.bias"].shape[0],
        ),
        text=BertConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            num_hidden_layers=count_layers(headers, "text_encoder.encoder.layer."),
            num_attention_heads=width // HEAD_WIDTH,
            intermediate_size=headers["text_encoder.encoder.layer.0.intermediate.dense.bias"].shape[
                0
            ],
            max_position_embeddings=positions,
        ),
    )


def _provenance(stored: Mapping[str, TensorInfo]) -> dict[str, Any]:
    left = len(published_names(stored)) - len(pair_names(stored))
    return {"left out": f"{left} tensors that retrieval does not read"} if left else {}


PMC_CLIP = Layout(_pmc_clip, renaming=pair_names, provenance=_provenance)
