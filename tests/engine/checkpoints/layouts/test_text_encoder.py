import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.models.distilbert import DistilBertConfig, DistilBertForMaskedLM

from dicom_io.errors import CheckpointMismatch, EngineError
from engine.checkpoints.layouts.dec_clip import load_text_encoder

SIZES = {"dim": 16, "hidden_dim": 32, "n_layers": 2, "n_heads": 2, "max_position_embeddings": 12}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "left", "kidney", "##s"]


@pytest.fixture
def folder(tmp_path):
    """A DistilBERT with the head that predicts masked words, as ClinicalBERT is published."""
    torch.manual_seed(0)
    masked = DistilBertForMaskedLM(DistilBertConfig(vocab_size=len(WORDS), **SIZES))
    masked.save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return tmp_path


def change(folder, alter) -> None:
    tensors = load_file(folder / "model.safetensors")
    alter(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_it_encodes_as_transformers_does(folder):
    encoder, tokenizer = load_text_encoder(folder)
    reference = DistilBertForMaskedLM.from_pretrained(folder).eval().distilbert
    ids = torch.tensor([tokenizer.encode("left kidneys").ids])
    assert torch.equal(encoder(ids).last_hidden_state, reference(ids).last_hidden_state)


def test_the_tokenizer_is_read_from_its_words(folder):
    _, tokenizer = load_text_encoder(folder)
    assert tokenizer.encode("Left kidneys").tokens == ["[CLS]", "left", "kidney", "##s", "[SEP]"]


def test_a_missing_tensor_is_an_error_that_names_it(folder):
    change(folder, lambda tensors: tensors.pop("distilbert.transformer.layer.1.ffn.lin2.bias"))
    with pytest.raises(
        CheckpointMismatch, match=r"missing: transformer\.layer\.1\.ffn\.lin2\.bias"
    ):
        load_text_encoder(folder)


def test_an_unexpected_tensor_is_an_error_that_names_it(folder):
    change(folder, lambda tensors: tensors.update(pooler=torch.zeros(2)))
    with pytest.raises(CheckpointMismatch, match="unexpected: pooler"):
        load_text_encoder(folder)


def test_another_kind_of_encoder_is_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))
    with pytest.raises(CheckpointMismatch, match="model_type 'bert', not distilbert"):
        load_text_encoder(folder)


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(EngineError, match="holds no config"):
        load_text_encoder(tmp_path)
