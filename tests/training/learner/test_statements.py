import numpy as np
import pytest
import torch
from torch import Tensor
from transformers.models.distilbert import DistilBertConfig

from dicom_io.errors import UnusableData
from dicom_io.model_input.preprocess import PreprocessSpec
from dicom_io.phantoms.phantom import make_phantom
from engine.checkpoints.tokenizer_files import read_tokenizer
from engine.network.contrastive import ContrastivePair
from engine.network.towers.dcformer import DCFormerConfig
from tests.training.stages.small import write_store
from training.data.phantoms import write_phantoms
from training.data.store import as_unit_interval, open_store
from training.learner.pairs import Pairs
from training.learner.statements import STATEMENTS, StatementPair, StatementPairs, pair_weights
from training.run.losses import ring_siglip_loss
from training.wording.vocabulary import FOLDER

SIZE = (16, 32, 32)
SEEDS = range(4)


@pytest.fixture(scope="module")
def tokenizer():
    return read_tokenizer(FOLDER)


@pytest.fixture(scope="module")
def data(tmp_path_factory, tokenizer) -> StatementPairs:
    folder = tmp_path_factory.mktemp("store")
    spec = PreprocessSpec(size=SIZE, window=(-200, 300), scaling="fixed")
    write_phantoms(folder, {"train": SEEDS}, spec)
    store = open_store(folder)
    return StatementPairs(Pairs(store, store.split("paper")["train"], tokenizer))


@pytest.fixture
def batch(data):
    return data.collate([data.example(i, np.random.default_rng(i)) for i in range(len(data))])


@pytest.fixture
def module(tokenizer) -> StatementPair:
    vision = DCFormerConfig(
        (1, 1, 1, 1), (4, 4, 8, 12, 16), stem="patch", layer_scale=0.3, input_size=SIZE
    )
    text = DistilBertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        dim=16,
        hidden_dim=32,
        n_layers=1,
        n_heads=2,
        max_position_embeddings=128,
        dropout=0.0,
        attention_dropout=0.0,
    )
    return StatementPair(ContrastivePair(vision, text, 8), tokenizer)


def loss(module: StatementPair, batch, held: Tensor | None) -> Tensor:
    volumes = as_unit_interval(batch.volumes)
    texts = batch.input_ids, batch.attention_mask
    return module(volumes, *texts, held, loss=ring_siglip_loss)


def test_each_truth_holds_in_its_row(batch):
    for seed, row in zip(SEEDS, batch.held, strict=True):
        truth = make_phantom(seed, matrix=24).truth
        assert row.tolist() == [float(s.holds(truth)) for s in STATEMENTS]


def test_without_statements_the_loss_is_that_of_the_pair(module, batch):
    pair, texts = module.pair, (batch.input_ids, batch.attention_mask)
    alone = pair(as_unit_interval(batch.volumes), *texts, loss=ring_siglip_loss)
    assert torch.allclose(loss(module, batch, None), alone)


def test_what_is_true_makes_the_loss(module, batch):
    assert not torch.allclose(loss(module, batch, batch.held), loss(module, batch, 1 - batch.held))


def test_both_encoders_and_the_head_learn(module, batch):
    loss(module, batch, batch.held).backward()
    without = [n for n, p in module.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_the_loss_falls_on_a_batch_that_is_shown_again_and_again(module, batch):
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        value = loss(module, batch, batch.held)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    assert losses[-1] < 0.5 * losses[0]


def test_the_head_stays_behind(module):
    kept = pair_weights(module.state_dict())
    assert kept.keys() == module.pair.state_dict().keys()


def test_images_whose_truth_nobody_knows_are_refused(tmp_path, tokenizer):
    store = open_store(write_store(tmp_path / "store", images=6))
    noise = StatementPairs(Pairs(store, list(store.images), tokenizer))
    with pytest.raises(UnusableData, match="c0/s"):
        noise.example(0, np.random.default_rng())
