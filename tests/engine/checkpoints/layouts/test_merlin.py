"""Merlin's published file: loaded strictly, and asked organ by organ."""

import json
from pathlib import Path

import pytest
import torch
from transformers.models.longformer import LongformerConfig

from dicom_io.errors import CheckpointMismatch, EngineError
from engine.checkpoints.checkpoint import describe, load_checkpoint, load_retriever
from engine.checkpoints.conversion import convert
from engine.checkpoints.inspection import inspect_checkpoint
from engine.checkpoints.tokenizer_files import read_tokenizer
from engine.inference.local import LocalEngine
from engine.network.families.merlin import ORGANS
from engine.network.families.merlin_pair import MerlinPairConfig
from engine.network.towers.resnet3d import ResNet3DConfig
from engine.protocol import Sampling
from engine.sizes.memory import memory_by_part
from tests.engine.conftest import input_for
from tests.engine.merlin import BLOCKS, pair_tensors, write_folder

SIZE = (16, 32, 32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("merlin") / "published", SIZE)


def test_it_says_what_it_is_and_how_its_input_is_prepared(folder):
    said = inspect_checkpoint(folder)
    assert said["faults"] == []
    assert (said["family"], said["layout"]) == ("merlin", "merlin_report")
    assert said["prompt"]["parts"] == ORGANS
    assert said["preprocess"]["spacing_mm"] == (3.0, 1.5, 1.5)
    assert said["parameters"].keys() == {
        "vision tower", "projector", "embeddings", "layers", "head", "total"
    }  # fmt: skip


def test_a_report_has_a_part_for_each_organ(folder):
    engine = LocalEngine.load(folder)
    volume = input_for(engine.preprocess)
    told: list[str] = []
    report = engine.report(volume, Sampling(max_new_tokens=3), on_token=told.append)
    assert len(report.token_ids) == len(report.token_logprobs) == len(report.tokens)
    assert len(report.token_ids) <= 3 * len(ORGANS)
    assert report.text == "".join(report.tokens) == "".join(told)
    assert report.image_embedding.shape == (2048,)
    samples = engine.report_samples(volume, 2, Sampling(max_new_tokens=3))
    assert [one.text for one in samples] == [report.text] * 2  # greedy
    both = engine.report_batch(
        [input_for(engine.preprocess, 2), volume], Sampling(max_new_tokens=3)
    )
    assert both[1].text == report.text


def test_its_memory_is_counted(folder):
    parts = memory_by_part(describe(folder).network, torch.float32)
    assert {"vision tower", "projector", "layers", "KV cache", "activations"} <= parts.keys()


def test_it_answers_no_questions(folder):
    engine = LocalEngine.load(folder)
    with pytest.raises(EngineError, match="reports only"):
        engine.ask(input_for(engine.preprocess), "the liver")


def test_the_native_form_writes_the_same_and_has_no_way_back(folder, tmp_path):
    convert(folder, tmp_path / "native")
    volume = input_for(describe(folder).preprocess)
    texts = [
        LocalEngine.load(one).report(volume, Sampling(max_new_tokens=3)).text
        for one in (folder, tmp_path / "native")
    ]
    assert texts[0] == texts[1]
    with pytest.raises(CheckpointMismatch, match="adapters"):
        convert(tmp_path / "native", tmp_path / "back")


def test_the_pair_embeds_as_it_was_saved_and_reads_robertas_tokenizer(tmp_path):
    text = LongformerConfig(
        vocab_size=12, hidden_size=64, num_hidden_layers=1, num_attention_heads=1,
        intermediate_size=16, max_position_embeddings=40, attention_window=[8], type_vocab_size=1,
        pad_token_id=1,
    )  # fmt: skip
    config = MerlinPairConfig(ResNet3DConfig(SIZE, BLOCKS), text)
    tensors = pair_tensors(config)
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    told = {"model_type": "merlin_pair", "input_size": SIZE, "attention_window": [8]}
    (tmp_path / "config.json").write_text(json.dumps(told))
    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "a", "b"]
    vocabulary = {word: i for i, word in enumerate(words)}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    assert read_tokenizer(tmp_path).encode("ab").ids == [0, 5, 6, 2]
    assert inspect_checkpoint(tmp_path)["faults"] == []
    pair = load_retriever(tmp_path)
    assert torch.equal(pair.linear_layer.bias, tensors["encode_text.linear_layer.bias"])
    assert pair.encode_image(torch.zeros(2, 1, *SIZE)).shape == (2, 512)
    with pytest.raises(EngineError, match="writes no report"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"decode_text.text_decoder.base_model.model.lm_head.weight": None}, "missing: lm_head"),
        ({"encode_text.linear_layer.bias": torch.zeros(2)}, "unexpected: encode_text"),
        ({"adapter.linear2.bias": torch.zeros(2)}, "mis-shaped: model.mm_projector.bias"),
    ],
)
def test_other_tensors_than_its_own_are_refused(change, says, folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    tensors = torch.load(folder / "pytorch_model.bin") | change
    (tmp_path / "pytorch_model.bin").unlink()
    torch.save({n: t for n, t in tensors.items() if t is not None}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointMismatch, match=says):
        load_checkpoint(tmp_path)
