"""The authors' published contrastive pairs, `dec_clip`, without `trust_remote_code`.

And the text encoder that stage 1 begins with: a DistilBERT such as ClinicalBERT.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from torch import Tensor
from transformers.models.distilbert import DistilBertConfig, DistilBertModel

from dicom_io.errors import CheckpointMismatch, EngineError
from engine.checkpoints.description import CONFIG, Layout, read_config
from engine.checkpoints.folder import checkpoint_folder, read_json
from engine.checkpoints.layouts.vlm_qwen import published_names, vision_config
from engine.checkpoints.tokenizer_files import read_tokenizer
from engine.checkpoints.weights import TensorInfo, assemble, read_tensors, weight_files
from engine.network.contrastive import ContrastiveConfig, distilbert_without_weights

TEXT = "language_encoder."

CLINICAL_BERT = "medicalai/ClinicalBERT"
CLINICAL_BERT_WIDTH, CLINICAL_BERT_HEADS = 768, 12

PREFIX = "distilbert."
MASKED = ("vocab_transform.", "vocab_layer_norm.", "vocab_projector.")
"""What predicts masked words in a published DistilBERT, and encodes nothing."""


def _contrastive(
    config: Mapping[str, Any], headers: Mapping[str, TensorInfo], folder: Path
) -> ContrastiveConfig:
    kind = config.get("vision_encoder", "dcformer")
    return ContrastiveConfig(
        vision=vision_config(headers, "vision_encoder.", kind, config),
        text=_text_encoder(config, headers, folder),
        width=_shape(headers, "mm_vision_proj.bias")[0],
        loss="clip" if "logit_scale" in headers else "siglip",
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
        heads = int(read_json(named[0])["n_heads"])
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


def load_text_encoder(name: str | Path) -> tuple[DistilBertModel, Tokenizer]:
    """Load a DistilBERT and its tokenizer, in float32.

    Parameters
    ----------
    name : str or Path
        A folder as `save_pretrained` writes it, or `OWNER/NAME@COMMIT` on the hub.

    Raises
    ------
    EngineError
        There is none, or it cannot be downloaded.
    CheckpointMismatch
        It is no DistilBERT, or a tensor is missing, unexpected or of another shape.
    """
    folder = checkpoint_folder(name)
    if not (folder / CONFIG).is_file():
        raise EngineError(f"no text encoder at {folder}: it holds no {CONFIG}")
    values = read_config(folder)
    if values.get("model_type") != "distilbert":
        raise CheckpointMismatch(
            f"{folder}/{CONFIG} has model_type {values.get('model_type')!r}, not distilbert"
        )
    config = DistilBertConfig.from_dict(values)
    encoder = distilbert_without_weights(config)
    assembled = assemble(encoder, _own(read_tensors(weight_files(folder))))
    return assembled, read_tokenizer(folder)


def _own(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names as the encoder has them, without the head for masked words."""
    own = {name: tensor for name, tensor in tensors.items() if not name.startswith(MASKED)}
    return {name.removeprefix(PREFIX): tensor for name, tensor in own.items()}


DEC_CLIP = Layout(_contrastive, renaming=published_names)
