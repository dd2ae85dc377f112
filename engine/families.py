"""Families of models: how each is configured in a checkpoint, and how it is built.

To add one, give it an entry in `FAMILIES`; `engine.local` and the layouts do not change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from engine import m3d_lamed, med3dvlm
from engine.dcformer import DCFormerConfig
from engine.m3d_lamed import M3DLaMed, M3DLaMedConfig
from engine.med3dvlm import VISION_TOWER, Med3DVLM, Med3DVLMConfig
from engine.projector import ProjectorConfig, StreamConfig
from engine.vision import VisionConfig
from engine.vit3d import AblationViT3DConfig, ViT3DConfig

Network = Med3DVLM | M3DLaMed
"""Any network of these families."""


@dataclass(frozen=True)
class Family:
    """One family.

    Parameters
    ----------
    config : type
        Of its configuration, which holds the language model's as `llm`.
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
    """

    config: type
    to_dict: Callable[[Any], dict[str, Any]]
    from_dict: Callable[[Mapping[str, Any], Any], Any]
    create: Callable[[Any], Network]
    build: Callable[[Any], Network]
    exact: str


VISION_TOWERS: dict[str, type[VisionConfig]] = {
    "dcformer": DCFormerConfig,
    "vit3d": ViT3DConfig,
    "vit3d_ablation": AblationViT3DConfig,
}


def family_of(config: Any) -> str:
    """Name the family of a configuration."""
    return next(name for name, family in FAMILIES.items() if isinstance(config, family.config))


def network_to_dict(config: Any) -> dict[str, Any]:
    """Configuration of any family -> the keys of config.json that describe the network."""
    name = family_of(config)
    llm = config.llm.to_diff_dict()
    del llm["transformers_version"]
    return {"family": name, "network": FAMILIES[name].to_dict(config), "text_config": llm}


def network_from_dict(values: Mapping[str, Any]) -> Any:
    """Keys of config.json -> configuration.

    Raises
    ------
    KeyError, TypeError, ValueError
        A key is missing, unknown or makes no sense.
    """
    return FAMILIES[values["family"]].from_dict(values["network"], _llm(values["text_config"]))


def build(config: Any) -> Network:
    """Build a network of any family, with parameters that hold no memory."""
    return FAMILIES[family_of(config)].build(config)


def _llm(values: Mapping[str, Any]) -> PreTrainedConfig:
    others = {name: value for name, value in values.items() if name != "model_type"}
    llm: PreTrainedConfig = AutoConfig.for_model(values["model_type"], **others)
    return llm


def _med3dvlm_to_dict(config: Med3DVLMConfig) -> dict[str, Any]:
    kind = next(n for n, tower in VISION_TOWERS.items() if isinstance(config.vision, tower))
    return {
        "vision": {"kind": kind} | asdict(config.vision),
        "projector": asdict(config.projector),
        "splice": config.splice,
    }


def _med3dvlm_from_dict(values: Mapping[str, Any], llm: Any) -> Med3DVLMConfig:
    vision, projector = _tuples(values["vision"]), _tuples(values["projector"])
    for stream in ("low", "high"):
        projector[stream] = StreamConfig(**_tuples(projector[stream]))
    return Med3DVLMConfig(
        vision=VISION_TOWERS[vision.pop("kind")](**vision),
        projector=ProjectorConfig(**projector),
        llm=llm,
        splice=values["splice"],
    )


def _m3d_lamed_to_dict(config: M3DLaMedConfig) -> dict[str, Any]:
    return {"vision": asdict(config.vision), "pooling": config.pooling}


def _m3d_lamed_from_dict(values: Mapping[str, Any], llm: Any) -> M3DLaMedConfig:
    return M3DLaMedConfig(ViT3DConfig(**_tuples(values["vision"])), llm, values["pooling"])


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
}
