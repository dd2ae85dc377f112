"""CT2Rep's file, as its training program writes it, with the vocabulary beside it.

The file is a trainer's; its state dict alone is read. docs/families.md says how the folder is put
together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from dicom_io.model_input.preprocess import PreprocessSpec
from engine.checkpoints.description import Layout, Prompt
from engine.checkpoints.layouts.ct_chat import (
    DEAD,
    SPACING_MM,
    one_codebook,
    tower_config,
    tower_name,
)
from engine.checkpoints.tokenizer_files import END
from engine.checkpoints.weights import TensorInfo, count_layers
from engine.network.families.ct2rep import CT2RepConfig, CT2RepTextConfig
from engine.network.towers.ct_vit import CTViTConfig

PUBLISHED = CTViTConfig(patch=(24, 24), slab=12)

LONGEST_TEXT = 5000
"""Rows of the authors' table of positions."""

WINDOW = (-400.0, 1200.0)
"""-1000 to 200 HU."""

TOWER = "visual_extractor.model."

DEAD_HERE = re.compile(r"dec_(spatial|temporal)_transformer\.|vgg\.|discr\.")
"""Of the tower: what its own training needed; `DEAD` has the rest."""

POSITIONS = "encoder_decoder.model.tgt_embed.1.pe"
"""A table that is computed here."""

OWN = (
    (r"^encoder_decoder\.att_embed\.0\.", "model.mm_projector.embed."),
    (r"^encoder_decoder\.logit\.", "lm_head."),
    (r"^encoder_decoder\.model\.encoder\.", "model.mm_projector."),
    (r"^encoder_decoder\.model\.decoder\.", "model."),
    (r"^encoder_decoder\.model\.tgt_embed\.0\.lut\.", "model.embed_tokens."),
    (r"^encoder_decoder\.model\.rm\.", "model.memory."),
    (r"memory\.attn\.", "memory.attention."),
    (r"memory\.mlp\.", "memory.feed_forward."),
    (r"memory\.W\.", "memory.gates_of_word."),
    (r"memory\.U\.", "memory.gates_of_memory."),
    (r"\.self_attn\.", ".attention."),
    (r"\.src_attn\.", ".image_attention."),
    (r"\.linears\.0\.", ".query."),
    (r"\.linears\.1\.", ".key."),
    (r"\.linears\.2\.", ".value."),
    (r"\.linears\.3\.", ".out."),
    (r"\.w_1\.", ".0."),
    (r"\.w_2\.", ".2."),
    (r"\.sublayer\.(\d)\.norm\.", r".norms.\1."),
    (r"\.mlp_gamma\.", ".to_weight."),
    (r"\.mlp_beta\.", ".to_bias."),
    (r"gamma$", "weight"),
    (r"beta$", "bias"),
)
"""Names of encoder and decoder in the file -> the network's."""

# Number 0 begins, ends and fills a text: here it also holds the places of the image
PROMPT = Prompt("", image_token=END, eos_token=END, after_question=END)


def own_names(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Names of the file -> the network's; what nothing reads is left out."""
    named = {own: value for name, value in stored.items() if (own := _own(name))}
    one_codebook(named)
    return named


def _own(name: str) -> str:
    if name.startswith(TOWER):
        bare = name.removeprefix(TOWER)
        return "" if DEAD.match(bare) or DEAD_HERE.match(bare) else tower_name(bare)
    if name == POSITIONS:
        return ""
    for pattern, own in OWN:
        name = re.sub(pattern, own, name)
    return name


def _ct2rep(
    config: Mapping[str, Any], headers: Mapping[str, TensorInfo], folder: Path
) -> CT2RepConfig:
    vision = tower_config(config, headers, PUBLISHED)
    vocabulary, width = headers["model.embed_tokens.weight"].shape
    inner, remembered = headers["model.layers.0.norms.0.to_weight.0.weight"].shape
    llm = CT2RepTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=headers["model.layers.0.feed_forward.0.bias"].shape[0],
        num_hidden_layers=count_layers(headers, "model.layers.") + 1,
        num_attention_heads=int(config.get("num_heads", CT2RepTextConfig.num_attention_heads)),
        max_position_embeddings=prod(vision.grid) + LONGEST_TEXT,
        memory_slots=remembered // inner,
        memory_heads=int(config.get("rm_num_heads", CT2RepTextConfig.memory_heads)),
    )
    return CT2RepConfig(vision, llm)


def _preprocess(network: CT2RepConfig) -> PreprocessSpec:
    return PreprocessSpec(
        size=network.vision.input_size,
        window=WINDOW,
        scaling="fixed",
        crop_foreground=False,
        spacing_mm=SPACING_MM,
        keeps="ends",
        orientation="SLP",
    )


def _provenance(stored: Mapping[str, TensorInfo]) -> dict[str, Any]:
    left = sum(not _own(name) for name in stored)
    return {"left out": f"{left} tensors that nothing reads"} if left else {}


CT2REP = Layout(
    _ct2rep,
    PROMPT,
    own_names,
    provenance=_provenance,
    preprocess=_preprocess,
    regions=("chest",),
)
