"""RadFM's file, with LLaMA's settings and tokenizer beside it.

The file is one state dict; docs/families.md says how the folder is put together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers.models.llama import LlamaConfig

from dicom_io.errors import CheckpointMismatch
from dicom_io.model_input.preprocess import PreprocessSpec
from engine.checkpoints.description import Layout, Prompt
from engine.checkpoints.layouts.vlm_qwen import llm_config
from engine.checkpoints.tokenizer_files import read_tokenizer
from engine.checkpoints.weights import EMBEDDINGS, TensorInfo, count_layers
from engine.network.families.radfm import RadFMConfig, RadFMViTConfig

SAME = ("lang_model.model.embed_tokens.weight", "embedding_layer.weight")
"""One tensor under two names."""

DEAD = re.compile(
    r"embedding_layer\.(bert_model|bert_projection_fc|transformer_decoder|transformer_decoder_mlp"
    r"|cls_head|output_upscaling)\."
)
"""A matching of keywords and a segmentation, which no answer needs."""

COMPUTED = re.compile(r".*\.rotary_emb\.inv_freq$")

ROPE_BASE = 10000.0
"""Of LLaMA; settings of its time do not say it, nor how many heads have keys: all."""

WRONG = ("bos_token_id", "eos_token_id", "pad_token_id")
"""Settings of the file that its own tokenizer contradicts."""

ADDED = ("<image>", "</image>", "<image0>")
"""Of a prompt: what begins an image, what ends it, and the placeholder of an image token."""

OWN = (
    (r"^lang_model\.lm_head\.", "lm_head."),
    (r"^lang_model\.model\.", "model."),
    (r"^embedding_layer\.figure_token_weight$", "model.figure_tokens"),
    (r"^embedding_layer\.fc\.", "model.mm_projector.to_words."),
    (r"^embedding_layer\.perceiver\.", "model.mm_projector."),
    (r"^embedding_layer\.vision_encoder\.", "model.vision_tower."),
    (r"\.to_patch_embedding\.(\d)\.", lambda found: f".patch_embedding.{int(found[1]) - 1}."),
    (r"\.pos_embedding\.row_embed\.", ".positions.rows."),
    (r"\.pos_embedding\.col_embed\.", ".positions.columns."),
    (r"\.pos_embedding\.dep_embed\.", ".positions.slices."),
    (r"\.transformer\.layers\.", ".layers."),
    (r"\.0\.fn\.to_qkv\.", ".0.qkv."),
    (r"\.0\.fn\.to_out\.0\.", ".0.out."),
    (r"\.1\.norm\.", ".1.0."),
    (r"\.1\.fn\.net\.0\.", ".1.1."),
    (r"\.1\.fn\.net\.3\.", ".1.3."),
    (r"\.0\.norm_media\.", ".0.norm_image."),
    (r"\.0\.to_q\.", ".0.query."),
    (r"\.0\.to_kv\.", ".0.key_value."),
    (r"\.0\.to_out\.", ".0.out."),
)
"""Names of the file -> the network's."""

# One of the sentences that the authors ask for reports with, where no patient's data go before it
PROMPT = Prompt(
    "Please caption this medical scan with finding and impression.",
    image_token=ADDED[2],
    eos_token="</s>",  # noqa: S106 - a token of text
    before_image=ADDED[0],
    after_image=ADDED[1],
)


def own_names(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Names of the file -> the network's; what nothing reads is left out.

    Raises
    ------
    CheckpointMismatch
        The embeddings are in the file under two names, and differ.
    """
    words, again = (stored.get(name) for name in SAME)
    if isinstance(words, Tensor) and isinstance(again, Tensor) and not torch.equal(words, again):
        raise CheckpointMismatch(f"{SAME[0]} and {SAME[1]} differ; they are one tensor")
    return {own: value for name, value in stored.items() if (own := _own(name))}


def _own(name: str) -> str:
    if name == SAME[1] or DEAD.match(name) or COMPUTED.match(name):
        return ""
    for pattern, own in OWN:
        name = re.sub(pattern, own, name)
    return name


def _radfm(
    config: Mapping[str, Any], headers: Mapping[str, TensorInfo], folder: Path
) -> RadFMConfig:
    vocab_size, _ = headers[EMBEDDINGS].shape
    queries, _ = headers["model.mm_projector.latents"].shape
    said = {"rope_theta": ROPE_BASE, "num_key_value_heads": config["num_attention_heads"], **config}
    llm = {key: value for key, value in said.items() if key not in WRONG}
    _require_tokens(folder, vocab_size)
    return RadFMConfig(
        vision=_tower(config, headers),
        llm=llm_config(LlamaConfig, {**llm, "vocab_size": vocab_size}),
        image_tokens=queries,
        resampler_layers=count_layers(headers, "model.mm_projector.layers."),
    )


def _require_tokens(folder: Path, words: int) -> None:
    """Refuse a tokenizer without the three tokens, which the authors' code adds itself."""
    tokenizer = read_tokenizer(folder)
    found = [tokenizer.token_to_id(token) for token in ADDED]
    if found != [words, words + 1, words + 2]:
        raise CheckpointMismatch(
            f"the tokenizer in {folder} must have {', '.join(ADDED)} from number {words} on"
        )


def _tower(config: Mapping[str, Any], headers: Mapping[str, TensorInfo]) -> RadFMViTConfig:
    begin = "model.vision_tower."
    slices, rows, columns = (
        headers[f"{begin}positions.{axis}.weight"].shape[0]
        for axis in ("slices", "rows", "columns")
    )
    return RadFMViTConfig(
        input_size=tuple(config.get("input_size", RadFMViTConfig.input_size)),
        positions=(slices, rows, columns),
        width=headers[f"{begin}patch_embedding.1.bias"].shape[0],
        layers=count_layers(headers, f"{begin}layers."),
        feed_forward=headers[f"{begin}layers.0.1.1.bias"].shape[0],
    )


def _preprocess(network: RadFMConfig) -> PreprocessSpec:
    return PreprocessSpec(
        size=network.vision.input_size, crop_foreground=False, interpolation="nearest"
    )


def _provenance(stored: Mapping[str, TensorInfo]) -> dict[str, Any]:
    left = sum(bool(DEAD.match(name)) for name in stored)
    return {"left out": f"{left} tensors that nothing reads"} if left else {}


RADFM = Layout(_radfm, PROMPT, own_names, provenance=_provenance, preprocess=_preprocess)
