"""Tables 9 and 12 of the paper and the sizes of every vision tower, counted anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn
from transformers.models.llama import LlamaConfig, LlamaForCausalLM
from transformers.models.qwen2 import Qwen2Config, Qwen2ForCausalLM

from engine.checkpoints.layouts.ct2rep import PUBLISHED as CT2REP_TOWER
from engine.network.families.m3d_lamed import SpatialPooling
from engine.network.families.radfm import RadFMViT, RadFMViTConfig
from engine.network.projector import PUBLISHED, ProjectorConfig, StreamConfig, projector
from engine.network.towers.ct_vit import CTViT, CTViTConfig
from engine.network.towers.dcformer import VARIANTS
from engine.network.towers.primus import Primus, PrimusConfig
from engine.network.towers.resnet3d import ResNet3DConfig
from engine.network.towers.vision import VisionConfig, vision_tower
from engine.network.towers.vit3d import AblationViT3DConfig, ViT3DConfig
from engine.sizes.cost import Cost, cost, lora_parameters, parameters
from engine.sizes.family_tables import family_rows
from engine.sizes.row import Row

LORA_RANK = 16
"""Of both systems' last stage."""

PROJECTORS = {
    "linear": replace(PUBLISHED, kind="linear"),
    "2xMLP": replace(PUBLISHED, kind="mlp"),
    "2xMLP-H": replace(PUBLISHED, kind="low_high_mlp"),
    "1xMixer-H": replace(
        PUBLISHED, low=StreamConfig(256, 384, (128,)), high=StreamConfig(32, 768, (128,))
    ),
    "2xMixer-H": PUBLISHED,
}
"""Each between DCFormer-small and Qwen2.5-7B; the paper does not list the linear one."""

QWEN = Qwen2Config(
    vocab_size=151_666,  # the tokenizer's 151 665 tokens and <im_patch>
    hidden_size=3584,
    intermediate_size=18_944,
    num_hidden_layers=28,
    num_attention_heads=28,
    num_key_value_heads=4,
)
LLAMA = LlamaConfig(vocab_size=32_004)  # Llama-2-7B's 32 000 tokens and four of M3D-LaMed's


def count_tables() -> list[Row]:
    """Build every network without memory, run it once without arithmetic, and count."""
    with torch.device("meta"):
        return [*_projectors(), *_med3dvlm(), *_m3d_lamed(), *_vision_towers(), *family_rows()]


def _projectors() -> Iterator[Row]:
    """Table 9."""
    paper = {
        "2xMLP": ("15.60 M", "0.50 G"),
        "2xMLP-H": ("16.98 M", "4.14 G"),
        "1xMixer-H": ("29.91 M", "3.85 G"),
        "2xMixer-H": ("47.22 M", "6.14 G"),
    }
    for name, config in PROJECTORS.items():
        yield Row("Table 9: projectors", name, projector_cost(config), *paper.get(name, ()))


def _med3dvlm() -> Iterator[Row]:
    """Table 12, the right half."""
    table = "Table 12: Med3DVLM"
    llm, tower = Qwen2ForCausalLM(QWEN), tower_cost(VARIANTS["small"])
    mixer = projector_cost(PUBLISHED)
    yield Row(table, "vision tower", tower, "18.2 M", "21.59 G")
    yield Row(table, "projector", mixer, "47.2 M", "6.14 G")
    yield Row(table, "language model", _parameters_alone(llm), "7.6 B")
    total = Cost(parameters(llm) + tower.parameters + mixer.parameters, 0, 0)
    note = "the paper cut the sum off, or gave the language model's figure again"
    yield Row(table, "all", total, "7.6 B", note=note)


def _m3d_lamed() -> Iterator[Row]:
    """Table 12, the left half: M3D-LaMed with Llama-2-7B."""
    table = "Table 12: M3D-LaMed"
    llm, config = LlamaForCausalLM(LLAMA), ViT3DConfig()
    tower = tower_cost(config)
    perceiver = cost(
        SpatialPooling(config.grid, 2, config.width, LLAMA.hidden_size),
        torch.empty(1, config.shapes[-1][0] - 1, config.width),
    )
    note = (
        "fvcore takes the count of attention from numpy's printout, in four digits: "
        f"{(tower.with_normalisations + _rounding_of_attention(config)) / 1e9:.3f} G"
    )
    yield Row(table, "vision tower", tower, "87.4 M", "253.23 G", note)
    yield Row(table, "projector", perceiver, "19.9 M", "5.10 G")
    yield Row(table, "language model", _parameters_alone(llm), "6.7 B")
    total = Cost(parameters(llm) + tower.parameters + perceiver.parameters, 0, 0)
    adapters = lora_parameters(llm.model, LORA_RANK)
    note = (
        f"the paper must have added LoRA's {adapters / 1e9:.2f} B (rank {LORA_RANK}), or the "
        "segmentation module, which the table does not list"
    )
    yield Row(table, "all", total, "6.9 B", note=note)


def _rounding_of_attention(config: ViT3DConfig) -> int:
    """What fvcore adds to two products a layer: numpy prints their operations in four digits."""
    product = config.shapes[-1][0] ** 2 * config.width
    return 2 * config.layers * (round(float(f"{2 * product:.3e}")) // 2 - product)


def _vision_towers() -> Iterator[Row]:
    """The towers of the ablations and of other families, each at its own input size."""
    towers: dict[str, VisionConfig] = {f"DCFormer-{n}": config for n, config in VARIANTS.items()}
    towers["ViT3D of M3D-LaMed"] = ViT3DConfig()
    towers["ViT3D of the ablation code"] = AblationViT3DConfig()
    towers["ResNet-152 of Merlin"] = ResNet3DConfig()
    for name, config in towers.items():
        yield Row("Vision towers", name, tower_cost(config))
    others: dict[str, CTViT | Primus | RadFMViT] = {
        "CT-ViT of CT-CHAT": CTViT(CTViTConfig()),
        "CT-ViT of CT2Rep": CTViT(CT2REP_TOWER),
        "Primus of NV-Reason-CT": Primus(PrimusConfig()),
        "3D ViT of RadFM": RadFMViT(RadFMViTConfig()),
    }
    for name, tower in others.items():
        volume = torch.empty(1, 1, *tower.config.input_size)
        yield Row("Vision towers", name, cost(tower, volume))


def tower_cost(config: VisionConfig) -> Cost:
    """Count a vision tower and what it costs for one volume."""
    return cost(vision_tower(config), torch.empty(1, 1, *config.input_size))


def projector_cost(config: ProjectorConfig) -> Cost:
    """Count a projector and what it costs for one image."""
    streams = (config.low, config.high) if config.hierarchical else (config.high,)
    inputs = [torch.empty(1, stream.tokens, stream.channels) for stream in streams]
    return cost(projector(config), *inputs)


def _parameters_alone(network: nn.Module) -> Cost:
    return Cost(parameters(network), 0, 0)
