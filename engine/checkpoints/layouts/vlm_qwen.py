"""The authors' published Med3DVLM, `vlm_qwen`, without `trust_remote_code`.

Sizes come from `config.json` and, where the authors' code had them as constants, from the tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, get_args

import torch
from torch import Tensor
from transformers import PreTrainedConfig
from transformers.models.qwen2 import Qwen2Config

from engine.checkpoints.description import Layout, Prompt
from engine.checkpoints.weights import TensorInfo
from engine.network.families.med3dvlm import VISION_TOWER, Med3DVLMConfig
from engine.network.projector import Kind, ProjectorConfig, StreamConfig
from engine.network.towers.dcformer import VARIANTS, DCFormerConfig
from engine.network.towers.vision import VisionConfig
from engine.network.towers.vit3d import AblationViT3DConfig

REPORT_QUESTION = "Describe the findings of the medical image you see."
"""One of the 42 questions for a report that the published weights were trained with."""

QWEN_EOS = "<|im_end|>"

PROMPT = Prompt(REPORT_QUESTION, eos_token=QWEN_EOS, before_question=" ", answers_questions=True)

TOWER = f"{VISION_TOWER}vision_tower."
"""What the names of the tower's own tensors have before them in the whole model."""

LOOSE_TOWER = "vision_tower.bin"
"""The authors' `demo.py` puts this file, where there is one, over the vision tower."""

WRAPPERS = ("module.", "_orig_mod.", "base_model.model.")
"""What DistributedDataParallel, torch.compile and PEFT put before the names of a model."""

COMPUTED = ("rotary_emb.inv_freq", "embeddings.position_ids")
"""Buffers that older transformers stored and newer ones compute."""

ADDED_KEYS: dict[str, Any] = {
    "model_type": "vlm_qwen",
    "vision_tower": "dcformer",
    "vision_select_layer": -2,
    "vision_select_feature": "cls_patch",
    "input_size": [256, 256, 128],
    "patch_size": [16, 16, 16],
    "dim": 768,
    "depth": 12,
    "mm_hidden_size": 768,
    "mm_projector_type": "mixer",
    "mm_mlp_depth": 2,
    "proj_out_num": 256,
    "low_input_size": [256, 384],
    "low_output_size": [192, 128],
    "high_input_size": [32, 768],
    "high_output_size": [64, 128],
}
"""What the authors' scripts for the published weights add to the language model's config.json."""

LLM_NEEDS = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
    "rms_norm_eps",
)


LLMConfig = TypeVar("LLMConfig", bound=PreTrainedConfig)


def vlm_qwen_config(qwen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config.json that the authors' code makes of a Qwen2's."""
    return {**qwen, **ADDED_KEYS, "architectures": ["VLMQwenForCausalLM"]}


def published_names(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Take off what wrappers put before names, and leave out buffers that are computed now."""
    return {
        _nested(_unwrapped(name)): value
        for name, value in stored.items()
        if not name.endswith(COMPUTED)
    }


def save_loose_tower(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write the vision tower's tensors as the authors' `demo.py` reads them."""
    begin = len(VISION_TOWER)
    tower = {n[begin:]: t.clone() for n, t in tensors.items() if n.startswith(VISION_TOWER)}
    torch.save(tower, path)


def _unwrapped(name: str) -> str:
    while wrapper := next((w for w in WRAPPERS if name.startswith(w)), None):
        name = name.removeprefix(wrapper)
    return name


def _nested(name: str) -> str:
    """Put the names of a loose vision tower where they stand in the whole model."""
    return f"model.vision_tower.{name}" if name.startswith("vision_tower.") else name


def _med3dvlm(
    config: Mapping[str, Any], headers: Mapping[str, TensorInfo], folder: Path
) -> Med3DVLMConfig:
    vision = vision_config(headers, TOWER, config["vision_tower"], config)
    projector = _projector(config, vision)
    require(config, "vision_select_feature", "cls_patch")
    if projector.hierarchical:
        require(config, "vision_select_layer", -2)
    if projector.kind != "linear":
        require(config, "mm_mlp_depth", 2)
    return Med3DVLMConfig(vision, projector, llm_config(Qwen2Config, config), splice="published")


def _begun_with(
    config: Mapping[str, Any], headers: Mapping[str, TensorInfo], folder: Path
) -> Med3DVLMConfig:
    return _med3dvlm(vlm_qwen_config(config), {}, folder)


def require(config: Mapping[str, Any], key: str, known: object) -> None:
    """Refuse a part that this project does not know.

    Parameters
    ----------
    config : mapping
        The published config.json.
    key : str
    known : object
        The only value that is understood.

    Raises
    ------
    KeyError, ValueError
        The key is missing, or holds another value.
    """
    if config[key] != known:
        raise ValueError(f"{key} is {config[key]!r}; this version knows {known!r}")


def llm_config(kind: type[LLMConfig], config: Mapping[str, Any]) -> LLMConfig:
    """Pick the language model's keys out of a published config.json.

    Raises
    ------
    KeyError
        One is missing.
    """
    if missing := [key for key in LLM_NEEDS if key not in config]:
        raise KeyError(", ".join(missing))
    if not {"rope_theta", "rope_parameters"} & config.keys():
        raise KeyError("rope_theta")
    known = kind().to_dict().keys() | {"rope_theta", "rope_scaling"}
    known -= {"model_type", "architectures", "dtype", "transformers_version"}
    return kind(**{key: value for key, value in config.items() if key in known})


def _projector(config: Mapping[str, Any], vision: VisionConfig) -> ProjectorConfig:
    kind = config["mm_projector_type"]
    if kind not in get_args(Kind):
        raise ValueError(f"mm_projector_type is {kind!r}; this version knows {get_args(Kind)}")
    low, high = (StreamConfig(*shape) for shape in vision.shapes[-2:])
    if kind == "mixer":
        low, high = _stream(config, "low"), _stream(config, "high")
    return ProjectorConfig(low, high, config["hidden_size"], kind)


def _stream(config: Mapping[str, Any], name: str) -> StreamConfig:
    tokens, channels = config[f"{name}_input_size"]
    return StreamConfig(tokens, channels, tuple(config[f"{name}_output_size"]))


def vision_config(
    headers: Mapping[str, TensorInfo], prefix: str, kind: str, config: Mapping[str, Any]
) -> VisionConfig:
    """Read the vision tower's sizes.

    Parameters
    ----------
    headers : mapping
        Tensors under the network's names.
    prefix : str
        What the names of the tower's own begin with.
    kind : str
        "dcformer", or "vit3d", the authors' ablation.
    config : mapping
        The published config.json.

    Raises
    ------
    KeyError, ValueError
        A key is missing, or it is another kind.
    """
    height, width, depth = config.get("input_size", (256, 256, 128))
    size = (depth, height, width)
    if kind == "vit3d":
        return AblationViT3DConfig(size, width=config["dim"], layers=config["depth"])
    if kind != "dcformer":
        raise ValueError(f"the vision tower is {kind!r}; this version knows dcformer and vit3d")
    return replace(dcformer_config(headers, prefix), input_size=size)


def dcformer_config(headers: Mapping[str, TensorInfo], prefix: str) -> DCFormerConfig:
    """Tell the variant by its tensors: the authors' code has it as a constant, "small"."""
    stages = [f"{prefix}encoder.s{stage}." for stage in range(1, 5)]
    last = [f"{stage}0.proj.weight" for stage in stages]
    channels = tuple(headers[name].shape[0] for name in last if name in headers)
    blocks = tuple(
        sum(name.startswith(stage) and name.endswith(".scale") for name in headers)
        for stage in stages
    )
    alike = (v for v in VARIANTS.values() if (v.blocks, v.channels[1:]) == (blocks, channels))
    return next(alike, VARIANTS["small"])


VLM_QWEN = Layout(_med3dvlm, PROMPT, published_names, loose=(LOOSE_TOWER,))

QWEN2 = Layout(_begun_with, PROMPT, version="merged")
"""A language model that the authors began with, for their loose files to be put over."""
