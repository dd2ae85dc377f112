"""The native layout: a folder as Hugging Face's `save_pretrained` writes it, and proof of it.

`config.json` (network, preprocessing, prompt, provenance), `model.safetensors` or its shards,
`tokenizer.json`, `SHA256SUMS`, and `out_of_distribution.safetensors` where the model can abstain.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dicom_io.errors import CheckpointMismatch
from dicom_io.model_input.preprocess import PreprocessSpec
from engine.checkpoints.decoding import GENERATION, GREEDILY, Decoding, said
from engine.checkpoints.description import CONFIG, Description, ModelCard, Prompt, read_config
from engine.checkpoints.families import network_from_dict, network_to_dict
from engine.checkpoints.folder import verify
from engine.checkpoints.weights import weight_files

MODEL_TYPE = "ctscribe"
FORMAT = 2
"""Grows when a checkpoint of before can no longer be read."""

OUT_OF_DISTRIBUTION = "out_of_distribution.safetensors"
NAMES_OF_DISTRIBUTION = (OUT_OF_DISTRIBUTION, "novelty.safetensors")
"""The training distribution; older checkpoints have it under the second name."""


def describe_native(folder: Path) -> Description:
    """Verify every file of a native checkpoint, then read what it says.

    Raises
    ------
    CheckpointMismatch
        A file is missing, damaged, changed or not vouched for.
    AttributeError, KeyError, TypeError, ValueError
        config.json makes no sense.
    """
    digest = verify(folder)
    config = read_config(folder)
    if config.get("format") != FORMAT:
        raise CheckpointMismatch(
            f"{folder} has checkpoint format {config.get('format')}, this version reads {FORMAT}"
        )
    prompt = config["prompt"]
    return Description(
        layout="native",
        folder=folder,
        network=network_from_dict(config),
        card=ModelCard(**config["card"]),
        prompt=Prompt(**prompt) if prompt else None,
        preprocess=PreprocessSpec.from_dict(config["preprocess"]),
        weights=tuple(weight_files(folder)),
        digest=digest,
    )


def distribution_file(folder: Path) -> Path | None:
    """Return the file of the training distribution; None where there is none."""
    paths = (folder / name for name in NAMES_OF_DISTRIBUTION)
    return next((path for path in paths if path.is_file()), None)


def native_config(
    network: Any, card: ModelCard, prompt: Prompt | None, preprocess: PreprocessSpec
) -> dict[str, Any]:
    """Return what config.json says beside Hugging Face's own keys.

    Parameters
    ----------
    network : object
        The configuration of any family (`engine.checkpoints.families`).
    card : ModelCard
    prompt : Prompt, optional
        None for what writes nothing.
    preprocess : PreprocessSpec
    """
    return {
        "format": FORMAT,
        **network_to_dict(network),
        "card": asdict(card),
        "prompt": asdict(prompt) if prompt else None,
        "preprocess": preprocess.to_dict(),
    }


def write_config(folder: Path, config: Mapping[str, Any], dtype: str) -> None:
    """Write config.json as `save_pretrained` of `engine.checkpoints.huggingface` does.

    Parameters
    ----------
    folder : Path
    config : mapping
        What `native_config` gives.
    dtype : str
        Of the weights, by torch's name.
    """
    values = {"model_type": MODEL_TYPE, "dtype": dtype, **config}
    if config["prompt"]:
        values = {"architectures": ["CtscribeForCausalLM"], **values}
    _write_json(folder / CONFIG, values)


def write_end_of_text(
    folder: Path, eos_token: str, eos_id: int | None, decoding: Decoding = GREEDILY
) -> None:
    """Let `AutoTokenizer` find the tokenizer, and `generate` how a text is written and ends.

    Parameters
    ----------
    folder : Path
    eos_token : str
    eos_id : int, optional
        Its number in the tokenizer; None where it has none.
    decoding : Decoding
        What else the checkpoint says.
    """
    values = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": eos_token}
    _write_json(folder / "tokenizer_config.json", values)
    _write_json(folder / GENERATION, {"eos_token_id": eos_id, **said(decoding, eos_id)})


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
