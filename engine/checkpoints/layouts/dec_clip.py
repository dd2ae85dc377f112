"""The authors' published contrastive pairs, `dec_clip`, without `trust_remote_code`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers.models.distilbert import DistilBertConfig

from dicom_io.errors import CheckpointMismatch
from dicom_io.model_input.preprocess import PreprocessSpec
from engine.checkpoints.description import CONFIG, Description, ModelCard, read_config
from engine.checkpoints.layouts.vlm_qwen import published_names, vision_config
from engine.checkpoints.manifest import digest_of
from engine.checkpoints.tensor_files import TensorInfo, read_headers, weight_files
from engine.checkpoints.tokenizer_files import tokenizer_files
from engine.network.contrastive import ContrastiveConfig

TEXT = "language_encoder."

CLINICAL_BERT = "medicalai/ClinicalBERT"
CLINICAL_BERT_WIDTH, CLINICAL_BERT_HEADS = 768, 12


def describe_dec_clip(folder: Path) -> Description:
    """Read what a published pair says of itself: DCFormer or ViT3D, and a DistilBERT.

    Raises
    ------
    CheckpointMismatch
        A file is missing or damaged.
    KeyError, TypeError, ValueError
        config.json lacks a key, or names a part that this project does not know.
    """
    config = read_config(folder)
    weights = tuple(weight_files(folder))
    headers = published_names(read_headers(weights))
    network = ContrastiveConfig(
        vision=vision_config(
            headers, "vision_encoder.", config.get("vision_encoder", "dcformer"), config
        ),
        text=_text_encoder(config, headers, folder),
        width=_shape(headers, "mm_vision_proj.bias")[0],
        loss="clip" if "logit_scale" in headers else "siglip",
    )
    return Description(
        layout="dec_clip",
        folder=folder,
        network=network,
        card=ModelCard(folder.name, "published"),
        prompt=None,
        preprocess=PreprocessSpec(size=network.vision.input_size),
        weights=weights,
        digest=digest_of([folder / CONFIG, *tokenizer_files(folder), *weights]),
        renaming=published_names,
    )


def _text_encoder(
    config: Mapping[str, Any], headers: Mapping[str, TensorInfo], folder: Path
) -> DistilBertConfig:
    """Sizes come from the tensors; the published config.json only names another checkpoint."""
    vocab_size, dim = _shape(headers, f"{TEXT}embeddings.word_embeddings.weight")
    (hidden_dim,) = _shape(headers, f"{TEXT}transformer.layer.0.ffn.lin1.bias")
    positions, _ = _shape(headers, f"{TEXT}embeddings.position_embeddings.weight")
    layers = {n.split(".")[3] for n in headers if n.startswith(f"{TEXT}transformer.layer.")}
    return DistilBertConfig(
        vocab_size=vocab_size,
        dim=dim,
        hidden_dim=hidden_dim,
        n_layers=len(layers),
        n_heads=_heads(config, folder, dim),
        max_position_embeddings=positions,
    )


def _heads(config: Mapping[str, Any], folder: Path, width: int) -> int:
    """Find how many heads the text encoder has: no tensor tells it."""
    name = str(config.get("language_model_name_or_path", CLINICAL_BERT))
    named = [path / CONFIG for path in (Path(name), folder / name) if (path / CONFIG).is_file()]
    if "n_heads" in config:
        heads = int(config["n_heads"])
    elif named:
        heads = int(json.loads(named[0].read_text(encoding="utf-8"))["n_heads"])
    elif name.lower().endswith("clinicalbert") and width == CLINICAL_BERT_WIDTH:
        heads = CLINICAL_BERT_HEADS
    else:
        raise ValueError(
            f"nothing states the heads of the text encoder {name!r} of width {width}: "
            "add the key n_heads"
        )
    if heads < 1 or width % heads:
        raise ValueError(f"a text encoder of width {width} cannot have {heads} heads")
    return heads


def _shape(headers: Mapping[str, TensorInfo], name: str) -> tuple[int, ...]:
    if name not in headers:
        raise CheckpointMismatch(f"the tensors are not those of the model; missing: {name}")
    return headers[name].shape
