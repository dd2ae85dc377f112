"""PMC-CLIP's published file, in small: what retrieval reads of it loads strictly."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from transformers.models.bert import BertConfig

from dicom_io.errors import CheckpointMismatch, EngineError
from engine.checkpoints.checkpoint import load_checkpoint, load_pair, load_retriever
from engine.checkpoints.inspection import inspect_checkpoint
from engine.network.families.pmc_clip import PMCClip, PMCClipConfig, SliceEncoderConfig
from plugin.cli import main
from tests.engine.golden import filled, uniform

VISION = SliceEncoderConfig((4, 32, 32), (1, 1, 1, 1), stem=8, output=16)
TEXT = BertConfig(
    vocab_size=30, hidden_size=64, num_hidden_layers=1, num_attention_heads=1,
    intermediate_size=16, max_position_embeddings=80,
)  # fmt: skip


def write_folder(folder: Path, **changes: Any) -> PMCClip:
    """What docs/families.md lets users put together of the published file."""
    pair = PMCClip(PMCClipConfig(VISION, TEXT))
    filled(pair)
    dead = {"logit_scale": torch.ones(()), "text_encoder.pooler.dense.bias": torch.zeros(64)}
    state = {f"module.{n}": t for n, t in (pair.state_dict() | dead | changes).items()}
    trainers = {"epoch": 3, "state_dict": state, "optimizer": {"state": {}, "param_groups": []}}
    torch.save(trainers, folder / "pytorch_model.bin")
    told = {"model_type": "pmc_clip", "input_size": VISION.input_size}
    (folder / "config.json").write_text(json.dumps(told))
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nthe\nliver\n")
    return pair


def test_it_embeds_as_it_was_saved(tmp_path):
    saved, loaded = write_folder(tmp_path), load_retriever(tmp_path)
    volume, ids = uniform(1, 1, 1, 4, 32, 32), torch.tensor([[2, 4, 5, 3]])
    with torch.no_grad():
        assert torch.equal(loaded.encode_image(volume), saved.encode_image(volume))
        assert loaded.encode_image(volume).shape == (1, 10, 16)
        mask = torch.ones_like(ids)
        assert torch.equal(loaded.encode_text(ids, mask), saved.encode_text(ids, mask))


def test_it_says_what_it_is_and_what_was_left_out(tmp_path):
    write_folder(tmp_path)
    said = inspect_checkpoint(tmp_path)
    assert (said["family"], said["faults"]) == ("pmc_clip", [])
    assert said["provenance"] == {"left out": "2 tensors that retrieval does not read"}
    assert {"vision tower", "text encoder"} <= said["parameters"].keys()


def test_it_takes_no_memory_while_it_writes_for_it_writes_nothing(tmp_path):
    write_folder(tmp_path)
    asked = CliRunner().invoke(main, ["model", "memory", str(tmp_path)])
    assert (asked.exit_code, asked.stdout) == (1, "")
    assert "writes no report" in asked.stderr


def test_other_tensors_are_refused(tmp_path):
    write_folder(tmp_path, **{"visual.conv9.weight": torch.zeros(1)})
    with pytest.raises(CheckpointMismatch, match=r"unexpected: visual\.conv9\.weight"):
        load_retriever(tmp_path)


def test_it_writes_nothing_and_is_no_beginning_of_a_training(tmp_path):
    write_folder(tmp_path)
    with pytest.raises(EngineError, match="writes no report"):
        load_checkpoint(tmp_path)
    with pytest.raises(EngineError, match="no contrastive pair"):
        load_pair(tmp_path)
