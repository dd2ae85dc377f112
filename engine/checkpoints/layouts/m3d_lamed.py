"""M3D-LaMed as published (`GoodBaiBai88/M3D-LaMed-*`), without `trust_remote_code`.

Sizes come from `config.json` and, where the authors' code had them as constants, from the tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers.models.llama import LlamaConfig
from transformers.models.phi3 import Phi3Config

from dicom_io.errors import CheckpointMismatch
from engine.checkpoints.description import Layout, Prompt
from engine.checkpoints.layouts.vlm_qwen import (
    REPORT_QUESTION,
    llm_config,
    published_names,
    require,
)
from engine.checkpoints.weights import TensorInfo, assemble, read_headers, read_tensors
from engine.network.families.m3d_lamed import M3DLaMedConfig
from engine.network.towers.vit3d import ViT3D, ViT3DConfig

SEGMENTATION = ("model.seg_module.", "model.seg_projector.")
"""What the names of the segmentation module's tensors begin with; they are left out."""

LLMS: dict[str, type[LlamaConfig] | type[Phi3Config]] = {
    "lamed_llama": LlamaConfig,
    "lamed_phi3": Phi3Config,
}
"""Language model by `model_type`."""

HEADS = 12
"""Of the vision tower; no tensor tells it, and the authors' code never sets another number."""

KNOWN = {
    "vision_tower": "vit3d",
    "vision_select_layer": -1,
    "vision_select_feature": "patch",
    "mm_projector_type": "spp",
    "proj_layer_type": "mlp",
    "proj_layer_num": 2,
    "proj_pooling_type": "spatial",
}


def load_vit3d(path: Path) -> ViT3D:
    """Load M3D-LaMed's vision tower from a loose file, such as M3D-CLIP's `pretrained_ViT.bin`.

    Raises
    ------
    CheckpointMismatch
        It is damaged, or a tensor is missing, unexpected or mis-shaped.
    """
    names = read_headers([path])
    try:
        config = ViT3DConfig(**_vit3d_sizes(names))
    except KeyError as error:
        raise CheckpointMismatch(f"{path} is no vision tower of M3D-LaMed: no {error}") from error
    return assemble(ViT3D(config), read_tensors([path]))


def report_names(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Take off what wrappers put before names, and leave out the segmentation module."""
    named = published_names(stored)
    return {name: value for name, value in named.items() if not name.startswith(SEGMENTATION)}


def _left_out(stored: Mapping[str, TensorInfo]) -> dict[str, str]:
    count = len(published_names(stored)) - len(report_names(stored))
    if count == 0:
        return {}
    return {"left out": f"the segmentation module ({count} tensors), which a report does not need"}


def _m3d_lamed(
    config: Mapping[str, Any], headers: Mapping[str, TensorInfo], folder: Path
) -> M3DLaMedConfig:
    for key, known in KNOWN.items():
        require(config, key, known)
    # the tokenizer's added tokens grew the embeddings, in one release not config.json with them
    vocab_size, _ = headers["model.embed_tokens.weight"].shape
    return M3DLaMedConfig(
        vision=_vit3d(config, headers),
        llm=llm_config(LLMS[config["model_type"]], {**config, "vocab_size": vocab_size}),
        pooling=config["proj_pooling_size"],
    )


def _vit3d(config: Mapping[str, Any], headers: Mapping[str, TensorInfo]) -> ViT3DConfig:
    prefix = "model.vision_tower.vision_tower."
    tower = {n.removeprefix(prefix): info for n, info in headers.items() if n.startswith(prefix)}
    return ViT3DConfig(
        input_size=tuple(config["image_size"]),
        patch=tuple(config["patch_size"]),
        **_vit3d_sizes(tower),
    )


def _vit3d_sizes(headers: Mapping[str, TensorInfo]) -> dict[str, Any]:
    blocks = [name.split(".", 2)[1:] for name in headers if name.startswith("blocks.")]
    return {
        "width": headers["cls_token"].shape[-1],
        "layers": len({number for number, _ in blocks}),
        "heads": HEADS,
        "unused_norms": any(part.startswith("norm_cross_attn") for _, part in blocks),
    }


def _lamed(end: str) -> Layout:
    prompt = Prompt(REPORT_QUESTION, eos_token=end, before_question=" ", answers_questions=True)
    return Layout(_m3d_lamed, prompt, report_names, provenance=_left_out)


LAMED_LLAMA, LAMED_PHI3 = _lamed("</s>"), _lamed("<|endoftext|>")
