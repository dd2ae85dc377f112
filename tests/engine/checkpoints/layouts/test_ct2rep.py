"""CT2Rep's file with its words: loaded strictly, and behind the engine."""

import json
from pathlib import Path

import pytest
import torch

from dicom_io.errors import CheckpointMismatch
from engine.checkpoints.checkpoint import describe, load_checkpoint
from engine.checkpoints.conversion import convert
from engine.checkpoints.inspection import inspect_checkpoint
from engine.checkpoints.layouts.ct2rep import PUBLISHED
from engine.inference.local import LocalEngine
from engine.protocol import Sampling
from engine.sizes.memory import memory_by_part
from tests.engine.conftest import input_for
from tests.engine.ct2rep import tensors, write_folder

SHORT = Sampling(max_new_tokens=6)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "published").mkdir()
    return write_folder(tmp_path / "published")


def test_it_says_what_it_is_and_how_its_input_is_prepared(folder):
    said = inspect_checkpoint(folder)
    assert said["faults"] == []
    assert (said["family"], said["regions"]) == ("ct2rep", ["chest"])
    assert said["preprocess"]["window"] == (-400, 1200)
    assert PUBLISHED.grid == (20, 20, 20)


def test_reports_alone_and_together_and_from_the_native_form(folder, tmp_path):
    engine = LocalEngine.load(folder)
    volume, other = (input_for(engine.preprocess, seed) for seed in (1, 2))
    report = engine.report(volume, SHORT)
    assert set(report.text.split()) <= {"<unk>", *(f"word{n}" for n in range(2, 30))}
    together = engine.report_batch([other, volume], SHORT)
    assert [one.text for one in together] == [engine.report(other, SHORT).text, report.text]
    convert(folder, tmp_path / "native")
    native = LocalEngine.load(tmp_path / "native")
    assert native.report(volume, SHORT).token_ids == report.token_ids


def test_its_memory_is_counted(folder):
    parts = memory_by_part(describe(folder).network, torch.bfloat16)
    assert {"vision tower", "projector", "layers", "KV cache", "activations"} <= parts.keys()
    assert "others" not in parts


@pytest.mark.parametrize("name", ["encoder_decoder.model.rm.W.bias", "encoder_decoder.logit.bias"])
def test_a_missing_tensor_is_named(name, folder):
    held = tensors()
    del held[name]
    torch.save({"state_dict": held}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointMismatch, match="missing: "):
        load_checkpoint(folder)


@pytest.mark.parametrize("words", [{"2": "<unk>"}, {"1": "lung"}, {"1": "<unk>", "2": "<unk>"}])
def test_words_that_are_not_numbered_from_1_are_refused(words, folder):
    (folder / "idx2token.json").write_text(json.dumps(words))
    with pytest.raises(CheckpointMismatch, match=r"idx2token\.json"):
        load_checkpoint(folder)


def test_no_words_no_model(folder):
    (folder / "idx2token.json").unlink()
    with pytest.raises(CheckpointMismatch, match="lacks"):
        load_checkpoint(folder)
