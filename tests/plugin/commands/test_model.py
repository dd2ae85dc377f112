"""`ctscribe model` from the command line."""

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import save_file
from transformers.models.distilbert import DistilBertConfig

from engine.network.contrastive import ContrastivePair
from engine.network.towers.dcformer import VARIANTS
from plugin.cli import main
from tests.engine.published import published_model, write_settings


def ctscribe(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["model", *map(str, arguments)])


@pytest.fixture
def published(tmp_path: Path) -> Path:
    folder = write_settings(tmp_path / "published")
    save_file(published_model().state_dict(), folder / "model.safetensors")
    return folder


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A published contrastive pair, with sizes that are its text encoder's defaults."""
    text = DistilBertConfig(vocab_size=90, dim=32, hidden_dim=64, n_heads=4)
    folder = tmp_path / "pair"
    folder.mkdir()
    save_file(ContrastivePair(VARIANTS["nano"], text).state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "dec_clip", "n_heads": 4}))
    return folder


def test_info_says_what_the_embedded_model_is():
    result = ctscribe("info", "embedded")
    assert result.exit_code == 0
    assert [line for line in result.output.splitlines() if line.startswith("splice")] == [
        "splice         clean"
    ]


def test_info_says_what_a_contrastive_pair_is(pair):
    result = ctscribe("info", pair)
    assert result.exit_code == 0
    assert "text model     type distilbert, layers 6, width 32, vocabulary 90" in result.output


def test_memory_of_a_contrastive_pair_is_an_error_of_one_line(pair):
    result = ctscribe("memory", pair)
    assert result.exit_code == 1
    assert result.output.endswith("holds a contrastive pair, which writes no report\n")


def test_info_gives_one_json_object(published):
    result = ctscribe("info", published, "--json")
    assert result.exit_code == 0
    facts = json.loads(result.output)
    assert (facts["layout"], facts["network"]["splice"]) == ("vlm_qwen", "published")


def test_info_exits_with_1_where_a_tensor_does_not_fit(published):
    weights = published_model().state_dict() | {"odd": torch.ones(1)}
    save_file(weights, published / "model.safetensors")
    result = ctscribe("info", published)
    assert result.exit_code == 1
    assert result.output.splitlines()[-1] == "unexpected: odd"


def test_info_on_a_damaged_checkpoint_is_one_line(published, tmp_path):
    ctscribe("convert", published, tmp_path / "native")
    with (tmp_path / "native" / "model.safetensors").open("ab") as file:
        file.write(b"x")
    result = ctscribe("info", tmp_path / "native")
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert "model.safetensors is damaged or changed" in result.output


def test_convert_goes_there_and_back(published, tmp_path):
    there = ctscribe("convert", published, tmp_path / "native", "--json")
    back = ctscribe("convert", tmp_path / "native", tmp_path / "again")
    assert (there.exit_code, back.exit_code) == (0, 0)
    assert json.loads(there.output)["layout"] == "native"
    config = (tmp_path / "again" / "config.json").read_bytes()
    assert config == (published / "config.json").read_bytes()


def test_convert_knows_the_embedded_model_by_its_name(tmp_path):
    result = ctscribe("convert", "embedded", tmp_path / "published")
    assert result.exit_code == 1
    assert "was not converted from a published checkpoint" in result.output


def test_a_loose_file_is_put_over_the_weights(published, tmp_path):
    part = tmp_path / "mm_projector.bin"
    name = "model.mm_projector.low_mixer.0.ln1.bias"
    torch.save({name: torch.full((384,), 0.25)}, part)
    result = ctscribe("convert", published, tmp_path / "native", "--with", part, "--json")
    assert result.exit_code == 0
    provenance = json.loads(ctscribe("info", tmp_path / "native", "--json").output)["provenance"]
    assert list(provenance["merged"]) == ["mm_projector.bin"]


def test_export_llm_prints_folder_and_name(published, tmp_path):
    result = ctscribe("export-llm", published, tmp_path / "llm", "--json")
    assert result.exit_code == 0
    facts = json.loads(result.output)
    assert facts["folder"] == str(tmp_path / "llm")
    assert facts["served_name"] == f"ctscribe-{facts['digest'][:16]}"
    config = json.loads((tmp_path / "llm" / "config.json").read_text())
    assert config["architectures"] == ["Qwen2ForCausalLM"]


def test_memory_counts_the_published_sizes_without_weights():
    result = ctscribe("memory", "published", "--quantization", "nf4", "--json")
    parts = json.loads(result.output)
    assert result.exit_code == 0
    assert {"layers", "vision tower", "projector", "KV cache", "activations"} < parts.keys()
    assert parts.pop("total") == sum(parts.values()) < 12e9


def test_memory_of_a_batch_grows_by_its_keys_and_values():
    one, four = (
        json.loads(ctscribe("memory", "embedded", "--texts", n, "--json").output) for n in (1, 4)
    )
    assert four["KV cache"] == 4 * one["KV cache"]
    assert four["layers"] == one["layers"]


def test_evidence_is_counted_if_asked():
    parts = json.loads(ctscribe("memory", "embedded", "--evidence", "--json").output)
    assert parts["evidence"] > 0
    assert parts.pop("total") == sum(parts.values())


def test_memory_of_nothing_is_an_error_of_one_line(tmp_path):
    result = ctscribe("memory", tmp_path / "nowhere")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
