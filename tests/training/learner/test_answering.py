import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers.models.qwen2 import Qwen2Config

from engine.checkpoints.description import Prompt
from engine.network.families.med3dvlm import Med3DVLM, Med3DVLMConfig
from tests.training import tiny
from training.learner.adapters import add_adapters
from training.learner.answering import Answering, Answers, Batch, loss, weight
from training.wording.conversation import IGNORED, Script, turns

WORDS = tiny.tokenizer()


@pytest.fixture(scope="module")
def answers(tmp_path_factory) -> Answers:
    store = tiny.write_store(tmp_path_factory.mktemp("store") / "s")
    script = Script(WORDS, Prompt("Describe the findings."), 8, 48, ("Describe the findings.",))
    return Answers(store, turns(store, "grouped", "train", ["reports", "yes_no"]), script)


@pytest.fixture
def model() -> Med3DVLM:
    torch.manual_seed(6)
    llm = Qwen2Config(vocab_size=WORDS.get_vocab_size(), **tiny.QWEN)
    return Med3DVLM(Med3DVLMConfig(tiny.VISION, tiny.projector_config(), llm))


def batch(answers: Answers, *items: int) -> Batch:
    return answers.collate([answers.example(i, np.random.default_rng(i)) for i in items])


def names(module: Answering) -> set[str]:
    """Parts with something that learns."""
    learning = [name for name, p in module.named_parameters() if p.requires_grad]
    return {".".join(name.split(".")[1:3]) for name in learning}


@torch.no_grad()
def test_the_loss_is_the_cross_entropy_of_the_answers_and_their_ends(answers, model):
    one = batch(answers, 0)
    module = Answering(model, ["projector"]).eval()
    ids = one.ids
    image_tokens = model.image_tokens(module.see(one.image[0] / 255))
    logits = model(model.embed_prompt(ids, image_tokens))[0, :-1]
    wanted = one.labels[0, 1:]
    each = F.cross_entropy(logits, wanted, ignore_index=IGNORED, reduction="none")
    assert torch.allclose(loss(module, one), each.sum(), rtol=1e-5)
    assert weight(one) == (wanted != IGNORED).sum() == len(["There", "is", "ascites", "."]) + 1


@torch.no_grad()
def test_a_batch_has_the_loss_of_its_items_whatever_fills_them_up(answers, model):
    module = Answering(model, ["projector"]).eval()
    items = (0, 7, 2)
    together = loss(module, batch(answers, *items))
    alone = sum(loss(module, batch(answers, item)) for item in items)
    assert torch.allclose(together, alone, rtol=1e-5)
    assert len({answers.example(i, np.random.default_rng(i))[1].ids.numel() for i in items}) > 1


@torch.no_grad()
def test_features_lead_to_the_loss_of_the_volumes(answers, model):
    module = Answering(model, ["projector"]).eval()
    whole = batch(answers, 1, 4)
    seen = Batch(module.see(whole.image[0] / 255), whole.ids, whole.labels)
    assert torch.equal(loss(module, seen), loss(module, whole))


def test_in_stage_2_the_projector_alone_learns(model):
    assert names(Answering(model, ["projector"])) == {"model.mm_projector"}


def test_in_stage_3_projector_and_adapters_learn(model):
    add_adapters(model, rank=2, alpha=4, dropout=0.0, seed=0)
    module = Answering(model, ["projector"])
    assert names(module) == {"model.mm_projector", "model.layers"}
    layers = [n for n, p in module.named_parameters() if p.requires_grad and ".layers." in n]
    assert all("lora_" in name for name in layers)


def test_the_authors_stage_3_leaves_more_trainable(model):
    module = Answering(model, ["projector", "vision tower", "embeddings", "head"])
    assert names(module) == {
        "model.mm_projector",
        "model.vision_tower",
        "model.embed_tokens",
        "lm_head.weight",
    }


def statistics(module: Answering) -> list[torch.Tensor]:
    return [b.clone() for n, b in module.named_buffers() if "running_" in n]


@pytest.mark.parametrize(
    ("trained", "batch_norm", "moves"),
    [
        (["projector"], "frozen", False),
        (["projector"], "training", True),
        (["projector", "vision tower"], "frozen", True),
    ],
)
def test_frozen_means_that_batch_norm_stays(answers, model, trained, batch_norm, moves):
    module = Answering(model, trained, batch_norm).train()
    before = statistics(module)
    loss(module, batch(answers, 0, 1)).backward()
    after = statistics(module)
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True)) is moves


def test_nothing_of_a_frozen_part_gets_a_gradient(answers, model):
    module = Answering(model, ["projector"]).train()
    loss(module, batch(answers, 0, 1)).backward()
    with_gradient = {n for n, p in module.named_parameters() if p.grad is not None}
    assert with_gradient == {n for n, p in module.named_parameters() if p.requires_grad}


def test_augmented_volumes_are_drawn_by_the_item(answers):
    changed = Answers(answers.store, answers.turns, answers.script, augmented=True)
    drawn = [changed.example(0, np.random.default_rng(seed))[0][0] for seed in range(6)]
    assert len({tensor.sum().item() for tensor in drawn}) > 1
    assert torch.equal(drawn[2], changed.example(0, np.random.default_rng(2))[0][0])
    assert drawn[0].is_floating_point()
