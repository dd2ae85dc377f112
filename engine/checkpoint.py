"""The native checkpoint: a folder that holds all a model needs, and proof that it is unharmed.

`config.json` (sizes, preprocessing, prompt, provenance, and the SHA-256 of every other file),
`model.safetensors`, `tokenizer.json` and, where the model can abstain, `novelty.safetensors`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers.models.qwen2 import Qwen2Config

from dicom_io.errors import CheckpointMismatch
from dicom_io.preprocess import PreprocessSpec
from engine.dcformer import DCFormerConfig
from engine.med3dvlm import VISION_TOWER, Med3DVLM, Med3DVLMConfig, without_weights
from engine.novelty import TrainingDistribution
from engine.projector import ProjectorConfig, StreamConfig
from engine.protocol import ModelIdentity
from engine.weights import assemble

FORMAT = 1
WEIGHTS, TOKENIZER, NOVELTY = "model.safetensors", "tokenizer.json", "novelty.safetensors"

LLM_FIELDS = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
    "rms_norm_eps",
)


@dataclass(frozen=True)
class Prompt:
    """How the model is asked.

    Parameters
    ----------
    report : str
        The question that asks for a report; it follows the image tokens.
    image_token, eos_token : str
        Tokens of the tokenizer: the placeholder of an image token, and what ends a text.
    answers_questions : bool
        Whether the model was trained to answer questions (`engine.question`), not reports alone.
    """

    report: str
    image_token: str = "<im_patch>"  # noqa: S105 - a token of text
    eos_token: str = "<eos>"  # noqa: S105
    answers_questions: bool = False


@dataclass(frozen=True)
class ModelCard:
    """What a checkpoint says of itself.

    Parameters
    ----------
    name, version : str
    demonstration : bool
        Whether it was trained on synthetic images only.
    findings : tuple of str
        The findings that it may write; empty where there is no closed list.
    provenance : mapping
        Where it comes from: recipe, seed, data, figures. JSON values.
    """

    name: str
    version: str
    demonstration: bool = False
    findings: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A model, ready to run, with all that belongs to it."""

    model: Med3DVLM
    tokenizer: Tokenizer
    card: ModelCard
    prompt: Prompt
    preprocess: PreprocessSpec
    distribution: TrainingDistribution | None = None
    digest: str = ""

    @property
    def identity(self) -> ModelIdentity:
        card = self.card
        return ModelIdentity(
            card.name, card.version, self.digest, card.demonstration, card.findings
        )


def save_checkpoint(
    checkpoint: Checkpoint, folder: Path, *, dtype: torch.dtype = torch.float32
) -> str:
    """Write a checkpoint and return its digest.

    Parameters
    ----------
    checkpoint : Checkpoint
        Its `digest` is not looked at.
    folder : Path
        Made if it is missing.
    dtype : torch.dtype
        Of the parameters. Buffers keep theirs: variances of BatchNorm overflow in float16.

    Raises
    ------
    CheckpointMismatch
        A parameter does not fit `dtype`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _save_tensors(_tensors_to_store(checkpoint.model, dtype), folder / WEIGHTS)
    checkpoint.tokenizer.save(str(folder / TOKENIZER))
    files = [WEIGHTS, TOKENIZER]
    if checkpoint.distribution is not None:
        _save_tensors(checkpoint.distribution.to_tensors(), folder / NOVELTY)
        files.append(NOVELTY)
    config = {
        "format": FORMAT,
        "card": asdict(checkpoint.card),
        "prompt": asdict(checkpoint.prompt),
        "preprocess": checkpoint.preprocess.to_dict(),
        "model": model_to_dict(checkpoint.model.config),
        "sha256": {name: _sha256(folder / name) for name in files},
    }
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
    return sha256(text.encode()).hexdigest()


def load_checkpoint(
    folder: Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Checkpoint:
    """Read what `save_checkpoint` wrote; every file is verified before anything is built.

    Parameters
    ----------
    folder : Path
        Holds the checkpoint.
    device, dtype
        Where the model will run, and in which type. The vision tower stays in float32, so that
        the image embedding and the decision to abstain do not depend on a setting.

    Raises
    ------
    CheckpointMismatch
        A file is missing, damaged or changed, or a tensor is missing, unexpected or of another
        shape than the configured model's.
    """
    text = (folder / "config.json").read_bytes()
    try:
        config = json.loads(text)
        _verify(folder, config)
        card = ModelCard(**{**config["card"], "findings": tuple(config["card"]["findings"])})
        prompt = Prompt(**config["prompt"])
        preprocess = PreprocessSpec.from_dict(config["preprocess"])
        model_config = model_from_dict(config["model"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointMismatch(f"{folder}/config.json cannot be understood: {error!r}") from error
    tensors = load_file(folder / WEIGHTS)
    model = assemble(without_weights(model_config), tensors, device, dtype, exact=VISION_TOWER)
    distribution = None
    if NOVELTY in config["sha256"]:
        distribution = TrainingDistribution.from_tensors(load_file(folder / NOVELTY))
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    digest = sha256(text).hexdigest()
    return Checkpoint(model, tokenizer, card, prompt, preprocess, distribution, digest)


def model_to_dict(config: Med3DVLMConfig) -> dict[str, Any]:
    """Plain values that JSON can hold; `model_from_dict` reads them back."""
    llm = {name: getattr(config.llm, name) for name in LLM_FIELDS}
    llm["rope_theta"] = rope_theta(config.llm)
    return {
        "vision": asdict(config.vision),
        "projector": asdict(config.projector),
        "llm": llm,
        "splice": config.splice,
    }


def model_from_dict(values: Mapping[str, Any]) -> Med3DVLMConfig:
    """Read what `model_to_dict` gave, also after a trip through JSON."""
    projector = values["projector"]
    return Med3DVLMConfig(
        vision=DCFormerConfig(**_tuples(values["vision"])),
        projector=ProjectorConfig(
            low=StreamConfig(**_tuples(projector["low"])),
            high=StreamConfig(**_tuples(projector["high"])),
            width=projector["width"],
        ),
        llm=Qwen2Config(**values["llm"], tie_word_embeddings=False),
        splice=values["splice"],
    )


def rope_theta(llm: Qwen2Config) -> float:
    """Return the base of the rotary embedding, which transformers 5 keeps in a dictionary."""
    parameters = getattr(llm, "rope_parameters", None)
    return float(parameters["rope_theta"] if parameters else llm.rope_theta)


def _tensors_to_store(model: Med3DVLM, dtype: torch.dtype) -> dict[str, Tensor]:
    parameters = {name for name, _ in model.named_parameters()}
    tensors = {}
    for name, tensor in model.state_dict().items():
        stored = tensor.detach().cpu().to(dtype if name in parameters else tensor.dtype)
        if not stored.isfinite().all():
            raise CheckpointMismatch(f"{name} holds values that {stored.dtype} cannot store")
        tensors[name] = stored.contiguous()
    return tensors


def _save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    save_file(tensors, path)
    path.chmod(0o644)  # safetensors leaves it to its owner alone, and the service is another user


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


def _verify(folder: Path, config: Mapping[str, Any]) -> None:
    if config["format"] != FORMAT:
        raise CheckpointMismatch(
            f"{folder} has checkpoint format {config['format']}, this version reads {FORMAT}"
        )
    if missing := {WEIGHTS, TOKENIZER} - set(config["sha256"]):
        raise CheckpointMismatch(f"{folder}/config.json vouches for no {' and no '.join(missing)}")
    for name, expected in config["sha256"].items():
        if not (folder / name).is_file():
            raise CheckpointMismatch(f"{folder} lacks {name}")
        if _sha256(folder / name) != expected:
            raise CheckpointMismatch(f"{folder / name} is damaged or changed: its SHA-256 differs")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
