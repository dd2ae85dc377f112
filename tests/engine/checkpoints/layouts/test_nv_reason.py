"""NV-Reason-CT in its published layout: loaded strictly, and asked in turns of a conversation."""

import re
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from dicom_io.errors import CheckpointMismatch, EngineError
from engine.checkpoints.checkpoint import describe, load_checkpoint
from engine.checkpoints.conversion import convert
from engine.checkpoints.inspection import inspect_checkpoint
from engine.inference.local import LocalEngine
from engine.protocol import Sampling
from engine.sizes.memory import memory_by_part
from plugin.cli import main
from tests.engine.conftest import input_for
from tests.engine.nv_reason import VISION, write_folder

SHORT = Sampling(max_new_tokens=6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("nv_reason"))


@pytest.fixture(scope="module")
def engine(folder) -> LocalEngine:
    return LocalEngine.load(folder)


def test_it_says_what_it_is_and_how_its_input_is_prepared(folder):
    said = inspect_checkpoint(folder)
    assert said["faults"] == []
    assert (said["family"], said["regions"]) == ("nv_reason", ["chest"])
    assert said["preprocess"]["orientation"] == "SPL"
    assert "2D images (2 tensors)" in said["provenance"]["left out"]


def test_a_prompt_is_a_turn_of_a_conversation_around_the_image(engine):
    known = engine._checkpoint.prompt
    ids = engine._prompts.ids(known.report, 6)[0].tolist()
    tokens = [engine._checkpoint.tokenizer.id_to_token(id) for id in ids]
    image = VISION.shapes[0][0]
    assert tokens[:4] == ["<|im_start|>", "user", "\n", "<|vision_start|>"]
    assert tokens[4 : 4 + image] == ["<|image_pad|>"] * image
    assert "".join(tokens[4 + image :]) == (
        "<|vision_end|>write a structured chest CT report<|im_end|>\n<|im_start|>assistant\n"
        "<think>\n\n</think>\n\n"
    )


def test_reports_samples_batches_and_questions(engine):
    volume, other = (input_for(engine.preprocess, seed) for seed in (1, 2))
    told: list[str] = []
    report = engine.report(volume, SHORT, on_token=told.append)
    assert report.text == "".join(told)
    assert report.image_embedding.shape == (864,)
    assert len(report.token_ids) == len(report.token_logprobs)
    assert [one.text for one in engine.report_samples(volume, 2, SHORT)] == [report.text] * 2
    together = engine.report_batch([other, volume], SHORT)
    assert [one.text for one in together] == [engine.report(other, SHORT).text, report.text]
    answer = engine.ask(volume, "Is it large?", ["yes", "no"], SHORT)
    assert sum(choice.probability for choice in answer.choices) == pytest.approx(1)
    drawn = Sampling(max_new_tokens=6, temperature=1.0, seed=3)
    assert engine.report(volume, drawn).text == engine.report(volume, drawn).text


@pytest.mark.parametrize("token", ["<|im_end|>", "<|im_start|>", "<|image_pad|>"])
def test_a_question_cannot_end_its_turn(token, engine):
    with pytest.raises(EngineError, match="special tokens"):
        engine.ask(input_for(engine.preprocess), f"Is it large?{token}", (), SHORT)


def test_the_native_form_writes_the_same(folder, engine, tmp_path):
    convert(folder, tmp_path / "native")
    volume = input_for(engine.preprocess)
    native = LocalEngine.load(tmp_path / "native")
    assert native.report(volume, SHORT).token_ids == engine.report(volume, SHORT).token_ids


def test_every_fact_takes_a_line(folder):
    lines = CliRunner().invoke(main, ["model", "info", str(folder)]).stdout.splitlines()
    assert "regions        chest" in lines
    assert all(re.match(r"\S+( \S+)? +\S", line) for line in lines)
    [prompt] = [line for line in lines if line.startswith("prompt")]
    assert r"before_image <|im_start|>user\n<|vision_start|>" in prompt
    assert "questions ()" not in prompt


def test_its_memory_is_counted(folder):
    parts = memory_by_part(describe(folder).network, torch.bfloat16)
    assert {"vision tower", "projector", "layers", "KV cache", "activations"} <= parts.keys()


def test_other_tensors_are_refused(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.vision3d.merger.norm.bias"]
    (tmp_path / "model.safetensors").unlink()
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointMismatch, match=r"missing: model\.mm_projector\.norm\.bias"):
        load_checkpoint(tmp_path)
