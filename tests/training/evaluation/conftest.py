"""A store of phantoms, a model of a few thousand weights and a contrastive pair, all tiny."""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from transformers.models.distilbert import DistilBertConfig
from transformers.models.qwen2 import Qwen2Config

from dicom_io.errors import UnusableData
from dicom_io.model_input.preprocess import PreprocessSpec
from engine.checkpoints.checkpoint import Checkpoint, ModelCard, Prompt, save_checkpoint
from engine.inference.local import LocalEngine
from engine.inference.question import question_prompt
from engine.network.contrastive import ContrastivePair
from engine.network.families.med3dvlm import Med3DVLM, Med3DVLMConfig
from tests.engine.conftest import PROJECTOR, SIZE, VISION
from tests.services import require
from training.data.phantoms.prepare import write_phantoms
from training.data.store import Store, open_store
from training.evaluation.embeddings import PairSystem
from training.evaluation.metrics import nltk_data
from training.wording.tokenizer import build_tokenizer

SPEC = PreprocessSpec(size=SIZE, window=(40, 400))


@pytest.fixture(scope="session")
def nltk_files() -> None:
    """WordNet and Punkt, which `make test` has put into this environment."""
    try:
        nltk_data.require()
    except UnusableData:
        require(False, "NLTK's data; run `ctscribe eval setup`")


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """A store of six phantoms, all of them test images."""
    folder = tmp_path_factory.mktemp("data") / "store"
    write_phantoms(folder, {"test": range(1, 7)}, SPEC, processes=1)
    return folder


@pytest.fixture(scope="session")
def store(data) -> Store:
    return open_store(data, SPEC)


@pytest.fixture(scope="session")
def tokenizer(store) -> Tokenizer:
    """Of every word that the store has."""
    asked = store.questions("paper", "test")
    texts = [text for q in asked for text in (question_prompt(q.question, q.choices), q.answer)]
    return build_tokenizer(["describe the liver", *store.texts.values(), *texts])


@pytest.fixture(scope="session")
def checkpoint(tokenizer, tmp_path_factory) -> Path:
    """A native checkpoint that writes nonsense and answers questions with it."""
    torch.manual_seed(0)
    llm = Qwen2Config(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
    )
    model = Med3DVLM(Med3DVLMConfig(VISION, PROJECTOR, llm))
    model.lm_head.weight.data.mul_(20)
    folder = tmp_path_factory.mktemp("model") / "tiny"
    prompt = Prompt("describe the liver", answers_questions=True)
    card = ModelCard("tiny", "1", True, ("ascites",), {"seed": 0})
    made = Checkpoint(model.eval(), tokenizer, card, prompt, SPEC)
    save_checkpoint(made, folder)
    return folder


@pytest.fixture(scope="session")
def engine(checkpoint) -> LocalEngine:
    return LocalEngine.load(checkpoint, device="cpu")


@pytest.fixture(scope="session")
def pair_system(tokenizer) -> PairSystem:
    torch.manual_seed(0)
    text = DistilBertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        dim=16,
        hidden_dim=32,
        n_layers=1,
        n_heads=2,
        max_position_embeddings=32,
    )
    pair = ContrastivePair(VISION, text, width=8).eval()
    return PairSystem("pair", pair, tokenizer, SPEC, {"checkpoint": {"name": "pair"}})
