"""Families of models: how each is configured in a checkpoint, and how it is built.

To add one, give it an entry in `FAMILIES`; `engine.inference.local` and the layouts do not change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from dicom_io.errors import CheckpointMismatch
from engine.checkpoints.description import CONFIG
from engine.network import m3d_lamed, med3dvlm
from engine.network.contrastive import ContrastiveConfig, ContrastivePair, pair_without_weights
from engine.network.dcformer import DCFormerConfig
from engine.network.m3d_lamed import M3DLaMed, M3DLaMedConfig
from engine.network.med3dvlm import VISION_TOWER, Med3DVLM, Med3DVLMConfig
from engine.network.projector import ProjectorConfig, StreamConfig
from engine.network.vision import VisionConfig
from engine.network.vit3d import AblationViT3DConfig, ViT3DConfig

Network = Med3DVLM | M3DLaMed
"""A network of these families that writes."""


@dataclass(frozen=True)
class Family:
    """One family.

    Parameters
    ----------
    config : type
        Of its configuration.
    to_dict : callable
        Configuration -> plain values for JSON, without the language model's.
    from_dict : callable
        Those values, also after a trip through JSON, and the language model's configuration -> the
        family's configuration.
    create : callable
        Configuration -> network with new weights.
    build : callable
        Configuration -> network whose parameters hold no memory.
    exact : str
        What the names of tensors begin with that always run in float32.
    text : str
        The name that the configuration has for its transformer of text.
    """

    config: type
    to_dict: Callable[[Any], dict[str, Any]]
    from_dict: Callable[[Mapping[str, Any], Any], Any]
    create: Callable[[Any], Any]
    build: Callable[[Any], Any]
    exact: str
    text: str = "llm"


VISION_TOWERS: dict[str, type[VisionConfig]] = {
    "dcformer": DCFormerConfig,
    "vit3d": ViT3DConfig,
    "vit3d_ablation": AblationViT3DConfig,
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
    text = text_config_of(config).to_diff_dict()
    del text["transformers_version"]
    return {"family": name, "network": family.to_dict(config), "text_config": text}


def network_from_dict(values: Mapping[str, Any]) -> Any:
    """Keys of config.json -> configuration.

    Raises
    ------
    KeyError, TypeError, ValueError
        A key is missing, unknown or makes no sense.
    """
    return FAMILIES[values["family"]].from_dict(values["network"], _llm(values["text_config"]))


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


def _llm(values: Mapping[str, Any]) -> PreTrainedConfig:
    others = {name: value for name, value in values.items() if name != "model_type"}
    llm: PreTrainedConfig = AutoConfig.for_model(values["model_type"], **others)
    return llm


def _med3dvlm_to_dict(config: Med3DVLMConfig) -> dict[str, Any]:
    return {
        "vision": _vision_to_dict(config.vision),
        "projector": asdict(config.projector),
        "splice": config.splice,
    }


def _med3dvlm_from_dict(values: Mapping[str, Any], llm: Any) -> Med3DVLMConfig:
    projector = _tuples(values["projector"])
    for stream in ("low", "high"):
        projector[stream] = StreamConfig(**_tuples(projector[stream]))
    return Med3DVLMConfig(
        vision=_vision_from_dict(values["vision"]),
        projector=ProjectorConfig(**projector),
        llm=llm,
        splice=values["splice"],
    )


def _m3d_lamed_to_dict(config: M3DLaMedConfig) -> dict[str, Any]:
    return {"vision": asdict(config.vision), "pooling": config.pooling}


def _m3d_lamed_from_dict(values: Mapping[str, Any], llm: Any) -> M3DLaMedConfig:
    return M3DLaMedConfig(ViT3DConfig(**_tuples(values["vision"])), llm, values["pooling"])


def _contrastive_to_dict(config: ContrastiveConfig) -> dict[str, Any]:
    return {
        "vision": _vision_to_dict(config.vision),
        "width": config.width,
        "loss": config.loss,
    }


def _contrastive_from_dict(values: Mapping[str, Any], text: Any) -> ContrastiveConfig:
    vision = _vision_from_dict(values["vision"])
    return ContrastiveConfig(vision, text, values["width"], values["loss"])


def _vision_to_dict(config: VisionConfig) -> dict[str, Any]:
    kind = next(n for n, tower in VISION_TOWERS.items() if isinstance(config, tower))
    return {"kind": kind} | asdict(config)


def _vision_from_dict(values: Mapping[str, Any]) -> VisionConfig:
    sizes = _tuples(values)
    return VISION_TOWERS[sizes.pop("kind")](**sizes)


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


FAMILIES = {
    "med3dvlm": Family(
        Med3DVLMConfig,
        _med3dvlm_to_dict,
        _med3dvlm_from_dict,
        Med3DVLM,
        med3dvlm.without_weights,
        VISION_TOWER,
    ),
    "m3d_lamed": Family(
        M3DLaMedConfig,
        _m3d_lamed_to_dict,
        _m3d_lamed_from_dict,
        M3DLaMed,
        m3d_lamed.without_weights,
        VISION_TOWER,
    ),
    "contrastive": Family(
        ContrastiveConfig,
        _contrastive_to_dict,
        _contrastive_from_dict,
        lambda config: ContrastivePair(config.vision, config.text, config.width, config.loss),
        pair_without_weights,
        "vision_encoder.",
        text="text",
    ),
}
