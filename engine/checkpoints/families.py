"""Families of models: how each is configured in a checkpoint, and how it is built.

To add one, give it an entry in `FAMILIES`; `engine.inference.local` and the layouts do not change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from dicom_io.errors import CheckpointMismatch
from engine.checkpoints.description import CONFIG
from engine.network.contrastive import ContrastiveConfig, ContrastivePair, pair_without_weights
from engine.network.families import ct2rep, merlin_pair, pmc_clip
from engine.network.families.ct2rep import CT2Rep, CT2RepConfig
from engine.network.families.ct_chat import CTChat, CTChatConfig
from engine.network.families.m3d_lamed import M3DLaMed, M3DLaMedConfig
from engine.network.families.med3dvlm import VISION_TOWER, Med3DVLM, Med3DVLMConfig
from engine.network.families.merlin import Merlin, MerlinConfig
from engine.network.families.merlin_pair import MerlinPair, MerlinPairConfig
from engine.network.families.nv_reason import NVReason, NVReasonConfig
from engine.network.families.pmc_clip import PMCClip, PMCClipConfig, SliceEncoderConfig
from engine.network.families.radfm import RadFM, RadFMConfig, RadFMViTConfig
from engine.network.towers.ct_vit import CTViTConfig
from engine.network.towers.dcformer import DCFormerConfig
from engine.network.towers.primus import PrimusConfig
from engine.network.towers.resnet3d import ResNet3DConfig
from engine.network.towers.vision import VisionConfig
from engine.network.towers.vit3d import AblationViT3DConfig, ViT3DConfig

Network = Med3DVLM | M3DLaMed | Merlin | NVReason | CTChat | CT2Rep | RadFM
"""A network of these families that writes."""

Retriever = ContrastivePair | PMCClip | MerlinPair
"""A network of these families that finds texts for images."""

VISION_TOWERS: dict[
    str,
    type[VisionConfig]
    | type[SliceEncoderConfig]
    | type[PrimusConfig]
    | type[CTViTConfig]
    | type[RadFMViTConfig],
] = {
    "dcformer": DCFormerConfig,
    "vit3d": ViT3DConfig,
    "vit3d_ablation": AblationViT3DConfig,
    "resnet3d": ResNet3DConfig,
    "slice_resnet": SliceEncoderConfig,
    "primus": PrimusConfig,
    "ct_vit": CTViTConfig,
    "radfm_vit": RadFMViTConfig,
}
"""By the key `kind` of a vision tower in config.json."""

PARTS = {
    "vision tower": ("model.vision_tower.", "vision_encoder.", "visual."),
    "projector": ("model.mm_projector.", "contrastive_head.", "linear_layer.", "text_projection"),
    "text encoder": ("language_encoder.", "text_encoder."),
    "embeddings": ("model.embed_tokens.", "model.figure_tokens"),
    "layers": ("model.layers.", "model.norm.", "model.memory."),
    "head": ("lm_head.",),
}
"""Parts of a model by what the names of their tensors begin with."""

OTHERS = "others"


@dataclass(frozen=True)
class Family:
    """One family.

    Parameters
    ----------
    config : type
        Of its configuration, a pydantic dataclass whose fields are the keys of `network`.
    create : callable
        Configuration -> network with new weights.
    build : callable
        Configuration -> network whose parameters hold no memory.
    exact : str
        What the names of tensors begin with that always run in float32.
    text : str
        The field of its transformer of text, which config.json has as `text_config`.
    only_tower : str, optional
        The one vision tower that it may have; config.json does not repeat its kind then.
    """

    config: type
    create: Callable[[Any], Any]
    build: Callable[[Any], Any]
    exact: str
    text: str = "llm"
    only_tower: str | None = None


FAMILIES = {
    "med3dvlm": Family(Med3DVLMConfig, Med3DVLM, Med3DVLM.without_weights, VISION_TOWER),
    "m3d_lamed": Family(
        M3DLaMedConfig, M3DLaMed, M3DLaMed.without_weights, VISION_TOWER, only_tower="vit3d"
    ),
    "merlin": Family(
        MerlinConfig, Merlin, Merlin.without_weights, VISION_TOWER, only_tower="resnet3d"
    ),
    "nv_reason": Family(
        NVReasonConfig, NVReason, NVReason.without_weights, VISION_TOWER, only_tower="primus"
    ),
    "ct_chat": Family(
        CTChatConfig, CTChat, CTChat.without_weights, VISION_TOWER, only_tower="ct_vit"
    ),
    "ct2rep": Family(
        CT2RepConfig, CT2Rep, ct2rep.without_weights, VISION_TOWER, only_tower="ct_vit"
    ),
    "radfm": Family(
        RadFMConfig, RadFM, RadFM.without_weights, VISION_TOWER, only_tower="radfm_vit"
    ),
    "contrastive": Family(
        ContrastiveConfig,
        lambda config: ContrastivePair(config.vision, config.text, config.width, config.loss),
        pair_without_weights,
        "vision_encoder.",
        text="text",
    ),
    "merlin_pair": Family(
        MerlinPairConfig,
        MerlinPair,
        merlin_pair.without_weights,
        "vision_encoder.",
        "text",
        "resnet3d",
    ),
    "pmc_clip": Family(
        PMCClipConfig, PMCClip, pmc_clip.without_weights, "visual.", "text", "slice_resnet"
    ),
}


def family_of(config: Any) -> str:
    """Name the family of a configuration."""
    return next(name for name, family in FAMILIES.items() if isinstance(config, family.config))


def text_config_of(config: Any) -> PreTrainedConfig:
    """Return the configuration of the transformer of text inside one of any family."""
    text: PreTrainedConfig = getattr(config, FAMILIES[family_of(config)].text)
    return text


def network_to_dict(config: Any) -> dict[str, Any]:
    """Configuration of any family -> the keys of config.json that describe the network."""
    name = family_of(config)
    family = FAMILIES[name]
    own = {key: getattr(config, key) for key in _own_keys(family)}
    network = {k: part if isinstance(part, str | int) else asdict(part) for k, part in own.items()}
    if family.only_tower is None:
        kind = next(k for k, tower in VISION_TOWERS.items() if isinstance(config.vision, tower))
        network["vision"] = {"kind": kind, **asdict(config.vision)}
    text = text_config_of(config).to_diff_dict()
    del text["transformers_version"]
    return {"family": name, "network": network, "text_config": text}


def network_from_dict(values: Mapping[str, Any]) -> Any:
    """Keys of config.json -> configuration.

    Raises
    ------
    KeyError, TypeError, ValueError
        A key is missing, unknown or makes no sense.
    """
    family = FAMILIES[values["family"]]
    text, network = dict(values["text_config"]), dict(values["network"])
    if missing := _own_keys(family).keys() - network.keys():
        raise KeyError(", ".join(missing))
    vision = dict(network["vision"])
    tower = VISION_TOWERS[family.only_tower or vision.pop("kind")]
    network["vision"] = tower(**vision)
    network[family.text] = AutoConfig.for_model(text.pop("model_type"), **text)
    return family.config(**network)


def _own_keys(family: Family) -> dict[str, None]:
    """Keys of `network` in config.json, in their order."""
    return {field.name: None for field in fields(family.config) if field.name != family.text}


def has_tied_head(config: Any) -> bool:
    """Tell whether a language model's head is its embeddings."""
    llm = getattr(config, "llm", None)
    return llm is not None and bool(llm.tie_word_embeddings)


def build(config: Any) -> Any:
    """Build a network of any family, with parameters that hold no memory.

    Raises
    ------
    CheckpointMismatch
        The configuration describes none.
    """
    try:
        return FAMILIES[family_of(config)].build(config)
    except Exception as error:  # torch and transformers raise whatever odd sizes lead to
        raise CheckpointMismatch(f"{CONFIG} describes no network: {error!r}") from error


def part_of(name: str) -> str:
    """Return the part of a model that a tensor belongs to."""
    return next((part for part, begins in PARTS.items() if name.startswith(begins)), OTHERS)
