"""CT-CHAT: Llama 3.1, its adapters, what was trained beside them, and CT-CLIP's vision tower.

The authors publish four things in four places, so the folder is put together: docs/families.md
says how. The adapters (LoRA) are merged while the weights are read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from math import isqrt
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from transformers.models.llama import LlamaConfig

from dicom_io.errors import CheckpointMismatch
from dicom_io.model_input.preprocess import PreprocessSpec
from engine.checkpoints.adapters import LORA_A, LORA_B, merge_lora
from engine.checkpoints.description import Layout, Prompt
from engine.checkpoints.layouts.vlm_qwen import llm_config
from engine.checkpoints.tokenizer_files import read_tokenizer
from engine.checkpoints.weights import HEAD, TensorInfo, count_layers
from engine.network.families.ct_chat import CTChatConfig
from engine.network.towers.ct_vit import CTViTConfig

LORA_SCALE = 2.0
"""Alpha 256 over rank 128, of the authors' training script."""

ADDED_TOKENS = 5
"""`<pad>` and four that name a task, which the authors add to Llama's vocabulary."""

LOOSE = ("adapter_model.safetensors", "non_lora_trainables.bin", "CT-CLIP_v2.pt")
"""What the authors publish, beside Llama's own files; each must be there."""

SPACING_MM = (1.5, 0.75, 0.75)

TRAINED, TOWER, EMBEDDINGS = "base_model.model.", "visual_transformer.", "model.embed_tokens.weight"

OWN = (
    (r"^to_patch_emb\.(\d)\.", lambda found: f"patch_embedding.{int(found[1]) - 1}."),
    (r"^spatial_rel_pos_bias\.net\.0\.0\.", "position_bias.0."),
    (r"^spatial_rel_pos_bias\.net\.1\.0\.", "position_bias.2."),
    (r"^spatial_rel_pos_bias\.net\.2\.", "position_bias.4."),
    (r"^enc_(spatial|temporal)_transformer\.", r"\1."),
    (r"\.0\.dsconv\.", ".position."),
    (r"\.1\.(?=norm|to_|[qk]_scale)", ".attention."),
    (r"\.3\.0\.", ".feed_forward.norm."),
    (r"\.3\.1\.", ".feed_forward.up."),
    (r"\.3\.4\.", ".feed_forward.down."),
    (r"norm_out\.", "norm."),
    (r"gamma$", "weight"),
    (r"beta$", "bias"),
    (r"^vq\._codebook\.embed$", "codebook"),
)
"""The tower's names in its file -> the network's."""

DEAD = re.compile(
    r"to_patch_emb_first_frame\.|to_pixels|.*\.(context_norm|null_kv)"
    r"|vq\._codebook\.(cluster_size|initted)"
)
"""Of the tower: what nothing reads."""

CLIP = ("text_transformer.", "to_text_latent", "to_visual_latent", "temperature")
"""Of CT-CLIP: its texts, and what compares."""

# The report's question is the first of the authors' list; they draw one at random
PROMPT = Prompt(
    "Generate radiology report for the CT.<report_generation>",
    image_token="<|reserved_special_token_0|>",  # noqa: S106 - Llama's own, which no text becomes
    eos_token="<|eot_id|>",  # noqa: S106
    before_image="<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n",
    after_image="\n",
    after_question="<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
)


def own_names(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Names of the files -> the network's; adapters are merged, or left out of headers.

    Where the files have no embeddings of the added tokens, these become the mean of all others, as
    their head does: the authors' code would draw them at random.
    """
    named: dict[str, Any] = {}
    for name, value in stored.items():
        if (own := _own(name)) and (name.startswith(TRAINED) or own not in named):
            named[own] = value
    if isinstance(named.get(EMBEDDINGS), Tensor):
        named = dict(merge_lora(named, LORA_SCALE))
    named = {n: v for n, v in named.items() if LORA_A not in n and LORA_B not in n}
    one_codebook(named)
    grown = 0 if TRAINED + EMBEDDINGS in stored else ADDED_TOKENS
    if EMBEDDINGS in named:
        rows = named[EMBEDDINGS].shape[0] + grown
        for name in (EMBEDDINGS, HEAD):
            if name in named:
                named[name] = _of_rows(named[name], rows)
    return named


def _own(name: str) -> str:
    if name.startswith(TRAINED):
        return name.removeprefix(TRAINED).replace(".default.weight", ".weight")
    if name.startswith(("model.", "lm_head.")):
        return name
    bare = name.removeprefix(TOWER)
    if bare.startswith(CLIP) or DEAD.match(bare):
        return ""
    return tower_name(bare)


def tower_name(bare: str) -> str:
    """Name of a tensor in the tower's file -> the network's."""
    for pattern, own in OWN:
        bare = re.sub(pattern, cast(str, own), bare)
    return f"model.vision_tower.{bare}"


def one_codebook(named: dict[str, Any]) -> None:
    """The file has a list of one codebook."""
    name = "model.vision_tower.codebook"
    value = named.get(name)
    if isinstance(value, Tensor):
        named[name] = value[0]
    elif value is not None:
        named[name] = replace(value, shape=value.shape[1:])


def _of_rows(value: Any, rows: int) -> Any:
    if not isinstance(value, Tensor):
        return replace(value, shape=(rows, *value.shape[1:]))
    mean = value.mean(dim=0, keepdim=True, dtype=torch.float32).to(value.dtype)
    return torch.cat([value, mean.expand(max(0, rows - len(value)), -1)])


def _ct_chat(
    config: Mapping[str, Any], headers: Mapping[str, TensorInfo], folder: Path
) -> CTChatConfig:
    if absent := [name for name in LOOSE if not (folder / name).is_file()]:
        raise CheckpointMismatch(f"{folder} lacks {', '.join(absent)}")
    vocab_size, _ = headers[EMBEDDINGS].shape
    llm = llm_config(LlamaConfig, {**config, "vocab_size": vocab_size})
    place = read_tokenizer(folder).token_to_id(PROMPT.image_token)
    if place is None:
        raise CheckpointMismatch(f"the tokenizer in {folder} has no {PROMPT.image_token}")
    queries, _ = headers["model.mm_projector.attn_pool.query"].shape
    return CTChatConfig(tower_config(config, headers, CTViTConfig()), llm, place, queries)


def tower_config(
    config: Mapping[str, Any], headers: Mapping[str, TensorInfo], published: CTViTConfig
) -> CTViTConfig:
    """Read the tower's sizes from its tensors.

    Parameters
    ----------
    config : mapping
        config.json, which may state what no tensor tells.
    headers : mapping
    published : CTViTConfig
        What holds where config.json says nothing.

    Returns
    -------
    CTViTConfig
    """
    begin = "model.vision_tower."
    slab = int(config.get("temporal_patch_size", published.slab))
    width, numbers = headers[f"{begin}patch_embedding.1.weight"].shape
    side = isqrt(numbers // slab)
    (head_width,) = headers[f"{begin}spatial.layers.0.attention.q_scale"].shape
    return CTViTConfig(
        input_size=tuple(config.get("input_size", published.input_size)),
        patch=tuple(config.get("patch_size", (side, side))),
        slab=slab,
        width=width,
        heads=headers[f"{begin}position_bias.4.bias"].shape[0],
        head_width=head_width,
        spatial_layers=count_layers(headers, f"{begin}spatial.layers."),
        temporal_layers=count_layers(headers, f"{begin}temporal.layers."),
        codebook=headers[f"{begin}codebook"].shape[0],
    )


def _preprocess(network: CTChatConfig) -> PreprocessSpec:
    return PreprocessSpec(
        size=network.vision.input_size,
        window=(0.0, 2000.0),
        scaling="fixed",
        crop_foreground=False,
        spacing_mm=SPACING_MM,
        keeps="ends",
        orientation="SLP",
    )


def _provenance(stored: Mapping[str, TensorInfo]) -> dict[str, Any]:
    said = {"left out": "CT-CLIP's text encoder, and the adapters by themselves: they are merged"}
    if TRAINED + EMBEDDINGS not in stored:
        said["added tokens"] = "not in the files; each is the mean of all other embeddings"
    return said


CT_CHAT = Layout(
    _ct_chat,
    PROMPT,
    own_names,
    loose=LOOSE,
    provenance=_provenance,
    preprocess=_preprocess,
    regions=("chest",),
    system="system_prompt.txt",
)
