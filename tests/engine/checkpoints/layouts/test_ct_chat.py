"""CT-CHAT, put together of four files: loaded strictly, and asked in turns of a conversation."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dicom_io.errors import CheckpointMismatch
from engine.checkpoints.checkpoint import describe, load_checkpoint
from engine.checkpoints.conversion import convert
from engine.checkpoints.inspection import inspect_checkpoint
from engine.inference.local import LocalEngine
from engine.protocol import Sampling
from engine.sizes.memory import memory_by_part
from tests.engine.conftest import input_for
from tests.engine.ct_chat import write_folder

SHORT = Sampling(max_new_tokens=6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("ct_chat"))


@pytest.fixture(scope="module")
def engine(folder) -> LocalEngine:
    return LocalEngine.load(folder)


def copied(folder: Path, target: Path, without: str) -> Path:
    for path in folder.iterdir():
        if path.name != without:
            (target / path.name).symlink_to(path)
    return target


def test_it_says_what_it_is_and_how_its_input_is_prepared(folder):
    said = inspect_checkpoint(folder)
    assert said["faults"] == []
    assert (said["family"], said["regions"]) == ("ct_chat", ["chest"])
    assert (said["preprocess"]["orientation"], said["preprocess"]["keeps"]) == ("SLP", "ends")
    assert "mean of all other embeddings" in said["provenance"]["added tokens"]


def test_adapters_are_merged_and_added_tokens_are_the_mean(folder):
    model = load_checkpoint(folder).model
    base = load_file(folder / "model.safetensors")
    adapter = load_file(folder / "adapter_model.safetensors")
    a, b = adapter.values()
    name = "model.layers.0.mlp.up_proj.weight"
    torch.testing.assert_close(model.state_dict()[name], base[name] + 2 * b @ a)
    mean = base["model.embed_tokens.weight"].mean(dim=0).expand(5, -1)
    torch.testing.assert_close(model.state_dict()["model.embed_tokens.weight"][-5:], mean)


def test_embeddings_that_were_trained_are_taken(folder, tmp_path):
    copied(folder, tmp_path, "non_lora_trainables.bin")
    trained = torch.load(folder / "non_lora_trainables.bin", weights_only=True)
    base = load_file(folder / "model.safetensors")["model.embed_tokens.weight"]
    rows = torch.ones(len(base) + 5, base.shape[1])
    trained["base_model.model.model.embed_tokens.weight"] = rows
    torch.save(trained, tmp_path / "non_lora_trainables.bin")
    state = load_checkpoint(tmp_path).model.state_dict()
    assert torch.equal(state["model.embed_tokens.weight"], rows)
    assert len(state["lm_head.weight"]) == len(rows)


def test_a_prompt_begins_with_the_system_text_and_holds_the_image(engine):
    known = engine._checkpoint.prompt
    ids = engine._prompts.ids(known.report, 6)[0].tolist()
    tokens = "".join(engine._checkpoint.tokenizer.id_to_token(id) for id in ids)
    assert tokens == (
        "<|begin_of_text|>Be brief. <|eot_id|><|start_header_id|>user<|end_header_id|>\n\n"
        + "<|reserved_special_token_0|>" * 256
        + "\nGenerate radiology report for the CT.<report_generation><|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_reports_alone_and_together_and_from_the_native_form(folder, engine, tmp_path):
    volume, other = (input_for(engine.preprocess, seed) for seed in (1, 2))
    report = engine.report(volume, SHORT)
    assert report.image_embedding.shape == (32,)
    together = engine.report_batch([other, volume], SHORT)
    assert [one.text for one in together] == [engine.report(other, SHORT).text, report.text]
    convert(folder, tmp_path / "native")
    native = LocalEngine.load(tmp_path / "native")
    assert native.report(volume, SHORT).token_ids == report.token_ids


def test_its_memory_is_counted(folder):
    parts = memory_by_part(describe(folder).network, torch.bfloat16)
    assert {"vision tower", "projector", "layers", "KV cache", "activations"} <= parts.keys()


@pytest.mark.parametrize(
    ("without", "said"),
    [
        ("CT-CLIP_v2.pt", "CT-CLIP_v2.pt"),
        ("non_lora_trainables.bin", "non_lora_trainables.bin"),
        ("adapter_model.safetensors", "adapter_model.safetensors"),
        ("system_prompt.txt", "system_prompt.txt"),
    ],
)
def test_a_missing_file_is_named(without, said, folder, tmp_path):
    with pytest.raises(CheckpointMismatch, match=said):
        load_checkpoint(copied(folder, tmp_path, without))


def test_other_tensors_are_refused(folder, tmp_path):
    copied(folder, tmp_path, "model.safetensors")
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointMismatch, match=r"missing: model\.norm\.weight"):
        load_checkpoint(tmp_path)
