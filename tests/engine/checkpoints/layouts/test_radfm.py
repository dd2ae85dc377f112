"""RadFM's file: loaded strictly, and behind the engine."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.models.llama import LlamaConfig

from dicom_io.errors import CheckpointMismatch
from engine.checkpoints.checkpoint import describe, load_checkpoint
from engine.checkpoints.conversion import convert
from engine.checkpoints.families import build
from engine.checkpoints.inspection import inspect_checkpoint
from engine.checkpoints.layouts.radfm import SAME, own_names
from engine.checkpoints.tokenizer_files import read_tokenizer
from engine.inference.local import LocalEngine
from engine.network.families.radfm import RadFMConfig, RadFMViTConfig
from engine.protocol import Sampling
from engine.sizes.memory import memory_by_part
from tests.engine.conftest import input_for
from tests.engine.lamed import PIECES, write_tokenizer
from tests.engine.radfm import GOLDEN, SPECIAL, published_layout, write_folder

SHORT = Sampling(max_new_tokens=6)

PUBLISHED_LLAMA = {"num_attention_heads": 40, "hidden_size": 5120, "intermediate_size": 13824,
                   "num_hidden_layers": 40, "rms_norm_eps": 1e-6,
                   "max_position_embeddings": 2048}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("radfm"))


def changed(folder: Path, target: Path, **tensors: torch.Tensor | None) -> Path:
    for path in folder.iterdir():
        if path.name != "model.safetensors":
            (target / path.name).symlink_to(path)
    held = load_file(folder / "model.safetensors") | tensors
    kept = {name: tensor for name, tensor in held.items() if tensor is not None}
    save_file(kept, target / "model.safetensors")
    return target


def test_every_published_name_and_shape_is_the_networks():
    headers = own_names(published_layout())
    network = build(RadFMConfig(RadFMViTConfig(), LlamaConfig(**PUBLISHED_LLAMA)))
    shapes = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    assert {name: info.shape for name, info in headers.items()} == shapes
    assert len(published_layout()) == GOLDEN["names"]


def test_it_says_what_it_is_and_how_its_input_is_prepared(folder):
    said = inspect_checkpoint(folder)
    assert said["faults"] == []
    assert (said["family"], said["regions"]) == ("radfm", [])
    assert said["preprocess"]["interpolation"] == "nearest"


def test_reports_alone_and_together_and_from_the_native_form(folder, tmp_path):
    engine = LocalEngine.load(folder)
    volume, other = (input_for(engine.preprocess, seed) for seed in (1, 2))
    report = engine.report(volume, SHORT)
    assert np.isfinite(report.token_logprobs).all()
    together = engine.report_batch([other, volume], SHORT)
    assert [one.text for one in together] == [engine.report(other, SHORT).text, report.text]
    convert(folder, tmp_path / "native")
    native = LocalEngine.load(tmp_path / "native")
    assert native.report(volume, SHORT).token_ids == report.token_ids


def test_its_memory_is_counted(folder):
    parts = memory_by_part(describe(folder).network, torch.bfloat16)
    assert {"vision tower", "projector", "layers", "KV cache", "activations"} <= parts.keys()
    assert "others" not in parts


@pytest.mark.parametrize("name", ["embedding_layer.perceiver.latents", "embedding_layer.fc.bias"])
def test_a_missing_tensor_is_named(name, folder, tmp_path):
    with pytest.raises(CheckpointMismatch):
        load_checkpoint(changed(folder, tmp_path, **{name: None}))


def test_a_tokenizer_without_the_three_tokens_is_refused(folder, tmp_path):
    told = (folder / "tokenizer.json").read_text().replace("<image0>", "<other>")
    changed(folder, tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "tokenizer.json").write_text(told)
    with pytest.raises(CheckpointMismatch, match=r"must have <image>, </image>, <image0> from"):
        load_checkpoint(tmp_path)


def test_an_unknown_tensor_is_named(folder, tmp_path):
    with pytest.raises(CheckpointMismatch, match=r"unexpected: embedding_layer\.other"):
        load_checkpoint(changed(folder, tmp_path, **{"embedding_layer.other": torch.ones(1)}))


def test_embeddings_that_differ_under_their_two_names_are_refused(folder, tmp_path):
    words = load_file(folder / "model.safetensors")[SAME[0]]
    with pytest.raises(CheckpointMismatch, match="differ"):
        load_checkpoint(changed(folder, tmp_path, **{SAME[1]: words + 1}))


def test_every_piece_of_a_prompt_begins_with_a_space_as_the_authors_tokenizer_has_it(tmp_path):
    """With the settings that docs/families.md gives, on a vocabulary of our own."""
    write_tokenizer(tmp_path)
    added = {
        str(PIECES + n): {"content": token, "special": True, "normalized": False,
                          "lstrip": True, "rstrip": True}
        for n, token in enumerate(SPECIAL)
    }  # fmt: skip
    settings = {"legacy": True, "add_bos_token": True, "added_tokens_decoder": added}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = read_tokenizer(tmp_path)
    alone = tokenizer.encode("The liver.", add_special_tokens=False).ids
    ids = tokenizer.encode("<image><image0></image>The liver.").ids
    assert ids == [1, PIECES, PIECES + 2, PIECES + 1, *alone]
    assert tokenizer.encode("<image></image> The liver.").ids[3:] == alone
