"""What stage 1 begins with: a DistilBERT such as ClinicalBERT, and its tokenizer."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers.models.distilbert import DistilBertConfig, DistilBertModel

from dicom_io.errors import CheckpointMismatch, EngineError
from engine.checkpoints.description import CONFIG, read_config
from engine.checkpoints.hub import checkpoint_folder
from engine.checkpoints.tensor_files import read_tensors, weight_files
from engine.checkpoints.tokenizer_files import read_tokenizer
from engine.checkpoints.weights import assemble
from engine.network.contrastive import distilbert_without_weights

PREFIX = "distilbert."
HEADS = ("vocab_transform.", "vocab_layer_norm.", "vocab_projector.")
"""What predicts masked words, and encodes nothing."""


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
    assembled = assemble(encoder, _own(read_tensors(weight_files(folder))), dtype=torch.float32)
    return assembled, read_tokenizer(folder)


def _own(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names as the encoder has them, without the head for masked words."""
    own = {name: tensor for name, tensor in tensors.items() if not name.startswith(HEADS)}
    return {name.removeprefix(PREFIX): tensor for name, tensor in own.items()}
