"""The language model of a checkpoint, as any program that knows transformers reads it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast
from transformers.models.phi3 import Phi3Config

from dicom_io.errors import CheckpointMismatch, EngineError
from engine.checkpoints.checkpoint import Checkpoint, describe, load_checkpoint, save_checkpoint
from engine.checkpoints.decoding import Decoding
from engine.checkpoints.llm_export import export_llm, exported_digest
from tests.engine import ct_chat, lamed, nv_reason, radfm


def test_transformers_gives_the_same_logits_for_the_same_embeddings(
    folder: Path, tmp_path: Path
) -> None:
    export_llm(folder, tmp_path / "llm")
    ours = load_checkpoint(folder).model
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "llm")
    embeddings = torch.randn(1, 9, ours.llm_config.hidden_size)
    with torch.inference_mode():
        assert torch.equal(ours(embeddings), theirs(inputs_embeds=embeddings).logits)


def lamed_folder(folder: Path, kind: type[Any], layout: str) -> Path:
    lamed.write_folder(folder, lamed.small(kind(**lamed.LLM)), lamed.config_json(layout))
    return folder


PUBLISHED: dict[str, Callable[[Path], Path]] = {
    "CT-CHAT": ct_chat.write_folder,
    "RadFM": radfm.write_folder,
    "M3D-LaMed Llama": lambda folder: lamed_folder(folder, LlamaConfig, "lamed_llama"),
    "M3D-LaMed Phi-3": lambda folder: lamed_folder(folder, Phi3Config, "lamed_phi3"),
}


@pytest.mark.parametrize("family", PUBLISHED)
def test_other_families_have_theirs(family: str, tmp_path: Path) -> None:
    (tmp_path / "published").mkdir()
    folder = PUBLISHED[family](tmp_path / "published")
    export_llm(folder, tmp_path / "llm")
    ours = load_checkpoint(folder).model
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "llm", dtype=torch.float32)
    embeddings = torch.randn(1, 9, ours.llm_config.hidden_size)
    with torch.inference_mode():
        assert torch.equal(ours(embeddings), theirs(inputs_embeds=embeddings).logits)


def test_a_language_model_that_nobody_else_runs_is_refused(tmp_path: Path) -> None:
    folder = nv_reason.write_folder(tmp_path)
    with pytest.raises(EngineError, match="only qwen2, llama, phi3 can be exported"):
        export_llm(folder, tmp_path / "llm")
    assert not (tmp_path / "llm").exists()


def test_no_bit_changes_and_nothing_but_the_language_model_is_written(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    save_checkpoint(checkpoint, tmp_path / "half", dtype=torch.bfloat16)
    export_llm(tmp_path / "half", tmp_path / "llm")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "llm", dtype="auto")
    ours = {
        name: tensor.bfloat16()
        for name, tensor in checkpoint.model.state_dict().items()
        if "vision_tower" not in name and "mm_projector" not in name
    }
    assert theirs.dtype is torch.bfloat16
    assert theirs.state_dict().keys() == ours.keys()
    assert all(torch.equal(theirs.state_dict()[name], tensor) for name, tensor in ours.items())


def test_tokenizer_and_generation_settings_go_along(checkpoint: Checkpoint, tmp_path: Path) -> None:
    decoding = Decoding(repetition_penalty=1.2, ends=frozenset({1, 9}))
    save_checkpoint(replace(checkpoint, decoding=decoding), tmp_path / "own")
    export_llm(tmp_path / "own", tmp_path / "llm")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path / "llm")
    assert tokenizer("describe the liver")["input_ids"] == [3, 6, 8]
    assert tokenizer.eos_token == checkpoint.prompt.eos_token
    said = json.loads((tmp_path / "llm" / "generation_config.json").read_text())
    assert (said["repetition_penalty"], said["eos_token_id"]) == (1.2, [1, 9])


def test_a_folder_says_which_checkpoint_it_comes_from(folder: Path, tmp_path: Path) -> None:
    digest = export_llm(folder, tmp_path / "llm")
    assert digest == exported_digest(tmp_path / "llm") == describe(folder).digest
    with pytest.raises(CheckpointMismatch, match="was not written by `ctscribe model export-llm`"):
        exported_digest(folder)


def test_a_tied_head_is_written_once(checkpoint: Checkpoint, tmp_path: Path) -> None:
    model = checkpoint.model
    model.config.llm.tie_word_embeddings = True
    model.lm_head.weight = model.get_parameter("model.embed_tokens.weight")
    save_checkpoint(checkpoint, tmp_path / "tied")
    export_llm(tmp_path / "tied", tmp_path / "llm")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "llm")
    embeddings = torch.randn(1, 9, model.llm_config.hidden_size)
    with torch.inference_mode():
        assert torch.equal(model(embeddings), theirs(inputs_embeds=embeddings).logits)


def test_a_folder_that_holds_something_is_left_alone(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointMismatch, match="not empty"):
        export_llm(folder, folder)
