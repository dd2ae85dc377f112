import numpy as np
import pytest
import torch
from torch import Tensor
from transformers.models.distilbert import DistilBertConfig

from dicom_io.errors import UnusableData
from dicom_io.model_input.preprocess import PreprocessSpec
from dicom_io.phantoms.phantom import make_phantom
from dicom_io.phantoms.truth import FINDINGS
from engine.checkpoints.tokenizer_files import read_tokenizer
from engine.network.contrastive import ContrastivePair
from engine.network.towers.dcformer import DCFormerConfig
from engine.network.towers.vit3d import ViT3DConfig
from tests.training.stages.small import write_store
from training.data.phantoms.prepare import write_phantoms
from training.data.phantoms.text import statements
from training.data.store import as_unit_interval, open_store
from training.learner.pairs import Pairs, group
from training.learner.statements import StatementPair, StatementPairs, pair_weights
from training.run.losses import ring_siglip_loss, shared_clip_loss
from training.wording.vocabulary import FOLDER

SIZE = (16, 32, 32)
SEEDS = range(4)


DCFORMER = DCFormerConfig(
    (1, 1, 1, 1), (4, 4, 8, 12, 16), stem="patch", layer_scale=0.3, input_size=SIZE
)
VIT = ViT3DConfig(SIZE, patch=(8, 16, 16), width=16, layers=2, heads=2)


def text_config(tokenizer) -> DistilBertConfig:
    return DistilBertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        dim=16,
        hidden_dim=32,
        n_layers=1,
        n_heads=2,
        max_position_embeddings=128,
        dropout=0.0,
        attention_dropout=0.0,
    )


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
    return StatementPair(ContrastivePair(DCFORMER, text_config(tokenizer), 8), tokenizer)


def loss(module: StatementPair, batch, held: Tensor | None) -> Tensor:
    volumes = as_unit_interval(batch.volumes)
    texts = batch.input_ids, batch.attention_mask
    return module(volumes, *texts, held, loss=ring_siglip_loss)


def test_each_truth_holds_in_its_row(batch):
    for seed, row in zip(SEEDS, batch.held, strict=True):
        truth = make_phantom(seed, matrix=24).truth
        assert row.tolist() == [float(s.holds(truth)) for s in statements()]


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


@pytest.fixture
def located(module, data, tokenizer) -> tuple[StatementPair, StatementPairs]:
    """The same pair with the head of places, begun as it would be by itself."""
    torch.manual_seed(0)
    dense = StatementPair(module.pair, tokenizer, dense=True)
    return dense, StatementPairs(data.pairs, dense=True)


def test_without_places_a_pair_begins_and_costs_as_ever(located, data, tokenizer, batch):
    dense, _ = located
    torch.manual_seed(0)
    plain = StatementPair(dense.pair, tokenizer)
    assert set(dense.state_dict()) - set(plain.state_dict()) == {
        f"dense.maps.{stage}.{part}" for stage in range(3) for part in ("weight", "bias")
    }
    assert all(torch.equal(w, dense.state_dict()[n]) for n, w in plain.state_dict().items())
    assert batch.cells.shape[:2] == (len(SEEDS), 0)


@pytest.mark.parametrize("tower", [DCFORMER, VIT])
def test_beside_clip_statements_have_a_temperature_and_a_bias_of_their_own(tokenizer, batch, tower):
    beside = StatementPair(ContrastivePair(tower, text_config(tokenizer), 8, "clip"), tokenizer)
    volumes = as_unit_interval(batch.volumes)
    beside(volumes, *batch[1:3], batch.held, loss=shared_clip_loss).backward()
    learnt = {n for n, p in beside.named_parameters() if p.grad is not None and p.grad.any()}
    assert {"t_prime", "bias", "pair.logit_scale", "head.weight"} <= learnt
    assert pair_weights(beside.state_dict()).keys() == beside.pair.state_dict().keys()


def test_phantoms_with_the_same_facts_are_of_one_group(data):
    store = data.pairs.store
    by_facts: dict[str, set[int]] = {}
    for key in store.images:
        facts = repr(store.images[key].origin["truth"])
        by_facts.setdefault(facts, set()).add(group(store, key, store.report(key)))
    assert all(len(groups) == 1 for groups in by_facts.values())
    assert len(set.union(*by_facts.values())) == len(by_facts)


def test_where_findings_lie_makes_the_loss(located):
    module, data = located
    batch = data.collate([data.example(i, np.random.default_rng(i)) for i in range(len(data))])
    assert batch.cells.shape == (len(SEEDS), len(FINDINGS), 2, 4, 4)
    volumes = as_unit_interval(batch.volumes)
    true, false = (
        module(volumes, *batch[1:3], batch.held, cells, loss=ring_siglip_loss)
        for cells in (batch.cells, ~batch.cells)
    )
    assert not torch.allclose(true, false)
    true.backward()
    assert all(p.grad.any() for p in module.dense.parameters())


def test_cells_are_those_of_the_findings(located):
    _, data = located
    for seed in SEEDS:
        cells = data.example(seed, np.random.default_rng(0))[2]
        truth = make_phantom(seed, matrix=24).truth
        there = [bool(where.any()) for where in cells]
        assert there == [truth.finding(name) is not None for name in FINDINGS]


def test_the_head_of_places_stays_behind(located):
    kept = pair_weights(located[0].state_dict())
    assert kept.keys() == located[0].pair.state_dict().keys()


def test_images_whose_truth_nobody_knows_are_refused(tmp_path, tokenizer):
    store = open_store(write_store(tmp_path / "store", images=6))
    noise = StatementPairs(Pairs(store, list(store.images), tokenizer))
    with pytest.raises(UnusableData, match="c0/s"):
        noise.example(0, np.random.default_rng())
