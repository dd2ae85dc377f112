"""The authors' published checkpoints, `dec_clip` and `vlm_qwen`, without `trust_remote_code`.

Sizes come from `config.json` and, where the authors' code had them as constants, from the tensors.
"""

from __future__ import annotations

import json
from hashlib import file_digest, sha256
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers.models.distilbert import DistilBertConfig
from transformers.models.qwen2 import Qwen2Config

from dicom_io.errors import CheckpointMismatch
from dicom_io.preprocess import PreprocessSpec
from engine.checkpoint import LLM_FIELDS, Checkpoint, ModelCard, Prompt
from engine.contrastive import ContrastivePair
from engine.dcformer import VARIANTS
from engine.med3dvlm import VISION_TOWER, Med3DVLMConfig, without_weights
from engine.projector import ProjectorConfig, StreamConfig
from engine.weights import assemble

REPORT_QUESTION = "Describe the findings of the medical image you see."
"""One of the 42 questions for a report that the published weights were trained with."""

QWEN_EOS = "<|im_end|>"


def model_type(folder: Path) -> str:
    """Return `model_type` of a folder's config.json, "" where it states none."""
    return str(_config(folder).get("model_type", ""))


def is_published(folder: Path) -> bool:
    """Tell whether a folder holds the published vision-language model."""
    return model_type(folder) == "vlm_qwen"


def load_vlm_qwen(
    folder: Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Checkpoint:
    """Load a published Med3DVLM: DCFormer-small, 2×Mixer-H, Qwen2.5.

    Raises
    ------
    CheckpointMismatch
        A file or key is missing, or a tensor is missing, unexpected or mis-shaped.
    """
    config = _config(folder)
    files = weight_files(folder)
    try:
        model_config = _vlm_config(config)
    except KeyError as error:
        raise CheckpointMismatch(f"{folder}/config.json lacks {error}") from error
    tensors = read_tensors(files)
    model = assemble(without_weights(model_config), tensors, device, dtype, exact=VISION_TOWER)
    if not (folder / "tokenizer.json").is_file():
        raise CheckpointMismatch(f"{folder} lacks tokenizer.json")
    return Checkpoint(
        model=model,
        tokenizer=Tokenizer.from_file(str(folder / "tokenizer.json")),
        card=ModelCard(folder.name, "published"),
        prompt=Prompt(REPORT_QUESTION, eos_token=QWEN_EOS, answers_questions=True),
        preprocess=PreprocessSpec(),
        digest=_digest([folder / "config.json", folder / "tokenizer.json", *files]),
    )


def load_dec_clip(folder: Path, *, device: torch.device | str = "cpu") -> ContrastivePair:
    """Load a published contrastive pair: DCFormer-small and ClinicalBERT.

    Raises
    ------
    CheckpointMismatch
        A file is missing, or a tensor is missing, unexpected or mis-shaped.
    """
    if model_type(folder) != "dec_clip":
        raise CheckpointMismatch(f"{folder}/config.json has no model_type dec_clip")
    tensors = read_tensors(weight_files(folder))
    pair = ContrastivePair(
        VARIANTS["small"],
        _text_config(tensors, _config(folder).get("n_heads")),
        width=len(_tensor(tensors, "mm_vision_proj.bias")),
    )
    return assemble(pair, tensors, device)


def weight_files(folder: Path) -> list[Path]:
    """Find the weights: safetensors, one file or sharded, else torch's `.bin`.

    Raises
    ------
    CheckpointMismatch
        There are none, or a shard is missing.
    """
    for stem, suffix in (("model", "safetensors"), ("pytorch_model", "bin")):
        index = folder / f"{stem}.{suffix}.index.json"
        single = folder / f"{stem}.{suffix}"
        if index.is_file():
            shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            paths = [folder / Path(shard).name for shard in sorted(shards)]
        elif single.is_file():
            paths = [single]
        else:
            continue
        if absent := [path.name for path in paths if not path.is_file()]:
            raise CheckpointMismatch(f"{folder} lacks {', '.join(absent)}")
        return paths
    raise CheckpointMismatch(f"{folder} holds no model.safetensors and no pytorch_model.bin")


def read_tensors(files: list[Path]) -> dict[str, Tensor]:
    """Read weights without running code that a file may carry.

    Raises
    ------
    CheckpointMismatch
        A file is damaged or holds more than tensors.
    """
    tensors: dict[str, Tensor] = {}
    for path in files:
        try:
            if path.suffix == ".safetensors":
                tensors.update(load_file(path))
            else:
                tensors.update(torch.load(path, map_location="cpu", weights_only=True))
        except (SafetensorError, UnpicklingError, RuntimeError) as error:
            raise CheckpointMismatch(f"{path} cannot be read as weights") from error
    return tensors


def _config(folder: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointMismatch(f"{folder}/config.json is no JSON: {error}") from error
    return config


def _vlm_config(config: dict[str, Any]) -> Med3DVLMConfig:
    rope = (
        config["rope_theta"] if "rope_theta" in config else config["rope_parameters"]["rope_theta"]
    )
    llm = {name: config[name] for name in LLM_FIELDS} | {"rope_theta": rope}
    return Med3DVLMConfig(
        vision=VARIANTS["small"],
        projector=ProjectorConfig(
            low=_stream(config, "low"),
            high=_stream(config, "high"),
            width=config["hidden_size"],
        ),
        llm=Qwen2Config(**llm, tie_word_embeddings=False),
        splice="published",
    )


def _stream(config: dict[str, Any], name: str) -> StreamConfig:
    tokens, channels = config[f"{name}_input_size"]
    return StreamConfig(tokens, channels, tuple(config[f"{name}_output_size"]))


def _text_config(tensors: dict[str, Tensor], heads: int | None) -> DistilBertConfig:
    prefix = "language_encoder."
    vocab_size, dim = _tensor(tensors, f"{prefix}embeddings.word_embeddings.weight").shape
    layers = {n.split(".")[3] for n in tensors if n.startswith(f"{prefix}transformer.layer.")}
    feed_forward = _tensor(tensors, f"{prefix}transformer.layer.0.ffn.lin1.bias")
    positions = _tensor(tensors, f"{prefix}embeddings.position_embeddings.weight")
    return DistilBertConfig(
        vocab_size=vocab_size,
        dim=dim,
        hidden_dim=len(feed_forward),
        n_layers=len(layers),
        n_heads=heads or dim // 64,  # no tensor tells it; ClinicalBERT has 12 heads of 64
        max_position_embeddings=len(positions),
    )


def _tensor(tensors: dict[str, Tensor], name: str) -> Tensor:
    if name not in tensors:
        raise CheckpointMismatch(f"the tensors are not those of the model; missing: {name}")
    return tensors[name]


def _digest(files: list[Path]) -> str:
    total = sha256()
    for path in files:
        with path.open("rb") as file:
            total.update(file_digest(file, "sha256").digest())
    return total.hexdigest()
