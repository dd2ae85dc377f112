"""Sizes of what the families of other groups put behind, or beside, their vision towers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.bert import BertConfig
from transformers.models.llama import LlamaConfig
from transformers.models.longformer import LongformerConfig

from engine.checkpoints.families import build
from engine.checkpoints.layouts.ct2rep import PUBLISHED as CT2REP_TOWER
from engine.network.families.ct2rep import CT2RepConfig, CT2RepTextConfig
from engine.network.families.ct_chat import CTChatConfig
from engine.network.families.merlin import MerlinConfig
from engine.network.families.merlin_pair import MerlinPairConfig
from engine.network.families.pmc_clip import (
    SIDE,
    SLICES,
    TEXT_TOKENS,
    PMCClipConfig,
    SliceEncoderConfig,
)
from engine.network.families.radfm import RadFMConfig, RadFMViTConfig
from engine.network.towers.ct_vit import CTViTConfig
from engine.network.towers.primus import Merger, PrimusConfig
from engine.network.towers.resnet3d import ResNet3DConfig
from engine.sizes.cost import Cost, cost, parameters
from engine.sizes.row import Row

WRITERS: dict[str, Any] = {
    "CT-CHAT": CTChatConfig(
        CTViTConfig(),
        LlamaConfig(
            vocab_size=128_261,  # Llama 3.1's 128 256 tokens and five of CT-CHAT's
            intermediate_size=14_336,
            num_key_value_heads=8,
        ),
        image_token=128_261,
    ),
    "CT2Rep": CT2RepConfig(CT2REP_TOWER, CT2RepTextConfig()),
    "Merlin": MerlinConfig(ResNet3DConfig(), LlamaConfig()),
    "RadFM": RadFMConfig(
        RadFMViTConfig(),
        LlamaConfig(
            hidden_size=5120, intermediate_size=13_824, num_hidden_layers=40, num_attention_heads=40
        ),
    ),
}
"""As published; docs/families.md says what of it could be checked on real files."""

NV_REASON_HIDDEN_SIZE = 2560
"""Of Qwen3.5-4B; not all sizes that make up its layers are known, so it has no row."""

PAIRS: dict[str, Any] = {
    "PMC-CLIP": PMCClipConfig(SliceEncoderConfig(), BertConfig()),
    "Merlin": MerlinPairConfig(
        ResNet3DConfig(),
        LongformerConfig(
            vocab_size=50_265,
            max_position_embeddings=4098,
            attention_window=[512] * 12,
            type_vocab_size=1,
            pad_token_id=1,
        ),
    ),
}


def family_rows() -> Iterator[Row]:
    """Count projectors and language models, then both sides of the pairs."""
    yield from _projectors_and_language_models()
    yield from _pmc_clip(build(PAIRS["PMC-CLIP"]).to("meta"))
    yield from _merlin_pair(build(PAIRS["Merlin"]).to("meta"))


def _projectors_and_language_models() -> Iterator[Row]:
    table = "Projectors and language models of other families"
    for family, config in WRITERS.items():
        network = build(config).to("meta")
        tower, projector = (
            network.get_submodule(f"model.{part}") for part in ("vision_tower", "mm_projector")
        )
        yield Row(table, f"projector of {family}", cost(projector, _hidden(config.vision)))
        written = parameters(network) - parameters(tower) - parameters(projector)
        if family == "CT2Rep":  # whose vocabulary is made anew from each set of reports
            written -= _words(network)
            yield Row(table, "CT2Rep's decoder, no words", Cost(written, 0, 0))
        else:
            yield Row(table, f"language model of {family}", Cost(written, 0, 0))
            yield Row(table, f"all of {family}", Cost(parameters(network), 0, 0))
    primus = PrimusConfig()
    merger = Merger(primus.width, NV_REASON_HIDDEN_SIZE)
    yield Row(table, "projector of NV-Reason-CT", cost(merger, _hidden(primus)))


def _pmc_clip(pair: Any) -> Iterator[Row]:
    """One slice and one text; the image encoder runs for each of the slices of a volume."""
    table = "PMC-CLIP"
    one = cost(pair.visual, torch.empty(1, 3, SIDE, SIDE))
    yield Row(table, "image encoder, one slice", one)
    yield Row(table, f"image encoder, {SLICES} slices", _times(one, SLICES))
    yield from _text_side(table, pair.text_encoder, pair.text_projection.numel(), TEXT_TOKENS)
    yield Row(table, "all", Cost(parameters(pair), 0, 0))


def _merlin_pair(pair: Any) -> Iterator[Row]:
    """What a Longformer costs depends on its text; its operations are left out."""
    table = "Contrastive pair of Merlin"
    tower = parameters(pair.vision_encoder) + parameters(pair.contrastive_head)
    text = parameters(pair.text_encoder) + parameters(pair.linear_layer)
    yield Row(table, "image encoder and head", Cost(tower, 0, 0))
    yield Row(table, "text encoder and head", Cost(text, 0, 0))
    yield Row(table, "all", Cost(tower + text, 0, 0))


def _text_side(table: str, encoder: nn.Module, projection: int, tokens: int) -> Iterator[Row]:
    read = cost(encoder, torch.zeros(1, tokens, dtype=torch.long))
    whole = replace(
        read,
        parameters=read.parameters + projection,
        multiply_adds=read.multiply_adds + projection,
    )
    yield Row(table, f"text encoder, {tokens} tokens", whole)


def _hidden(vision: Any) -> Tensor:
    """What a tower's last stage gives for one volume."""
    return torch.empty(1, *vision.shapes[-1])


def _times(one: Cost, often: int) -> Cost:
    return Cost(one.parameters, often * one.multiply_adds, often * one.normalisations)


def _words(network: Any) -> int:
    return parameters(network.model.embed_tokens) + parameters(network.lm_head)
