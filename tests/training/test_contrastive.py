import numpy as np
import pytest
import torch
from transformers.models.distilbert import DistilBertConfig

from dicom_io.phantom import Finding, Truth
from engine.contrastive import ContrastivePair
from training.contrastive import (
    STATEMENTS,
    Batch,
    ContrastiveStage,
    draw_batch,
    same_facts,
    truth_matrix,
)
from training.embedded import vocabulary


@pytest.fixture
def stage(recipe) -> ContrastiveStage:
    tokenizer = vocabulary()
    text = recipe.text.model_dump(exclude={"width"})
    config = DistilBertConfig(
        vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=128, **text
    )
    pair = ContrastivePair(recipe.vision_config, config, recipe.text.width)
    return ContrastiveStage(pair, tokenizer, steps=60, learning_rate=3e-3, weight_decay=0.0)


@pytest.fixture
def batch(truths) -> Batch:
    return Batch(torch.rand(len(truths), 1, 16, 32, 32), truths)


def test_texts_become_unit_vectors(stage):
    with torch.no_grad():
        vectors = stage.encode(["There is ascites.", "There is no ascites."])
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-5)


def test_padding_does_not_change_a_text(stage):
    stage.pair.eval()
    short = "There is ascites."
    with torch.no_grad():
        alone, beside = stage.encode([short]), stage.encode([short, f"{short} {short}"])
    assert torch.allclose(alone[0], beside[0], atol=1e-5)


def test_the_loss_falls_on_a_batch_that_is_shown_again_and_again(stage, batch):
    losses = [stage.step(batch, np.random.default_rng(i)) for i in range(60)]
    assert np.mean(losses[-5:]) < 0.5 * losses[0]


def test_images_and_texts_both_learn(stage, batch):
    stage.loss(batch, np.random.default_rng(0)).backward()
    without = [
        name
        for name, p in stage.pair.named_parameters()
        if p.grad is None or not p.grad.abs().sum()
    ]
    assert without == []


def test_each_truth_holds_in_its_row(truths):
    matrix = truth_matrix(truths)
    assert matrix.shape == (len(truths), len(STATEMENTS))
    assert all(
        bool(matrix[i, j]) == s.holds(t)
        for i, t in enumerate(truths)
        for j, s in enumerate(STATEMENTS)
    )


def test_reports_of_equal_facts_fit_each_others_images():
    small, large, none = (
        Truth("axial", "delayed", findings)
        for findings in ((Finding("ascites", None, 0.1),), (Finding("ascites", None, 0.9),), ())
    )
    assert same_facts([small, large, none]).tolist() == [[1, 1, -1], [1, 1, -1], [-1, -1, 1]]


def test_a_batch_holds_different_studies(truths):
    inputs = [torch.full((1, 2, 2, 2), i, dtype=torch.uint8) for i in range(len(truths))]
    batch = draw_batch(inputs, truths, 4, np.random.default_rng(0))
    drawn = [round(float(v) * 255) for v in batch.volumes[:, 0, 0, 0, 0]]
    assert len(set(drawn)) == 4
    assert batch.truths == [truths[i] for i in drawn]
