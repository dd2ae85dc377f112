import math

import pytest
import torch
from torch.nn import functional as F
from transformers.models.distilbert import DistilBertConfig

from engine.contrastive import ContrastivePair, pairwise_sigmoid_loss, siglip_loss
from engine.dcformer import VARIANTS
from tests.engine.golden import (
    FIGURES,
    assert_equals_golden,
    filled,
    layout_digest,
    token_ids,
    uniform,
)

GOLDEN = FIGURES["clip"]


@pytest.fixture(scope="module")
def pair() -> ContrastivePair:
    config = DistilBertConfig(**GOLDEN["distilbert_config"])
    pair = filled(ContrastivePair(VARIANTS["small"], config), keep=("t_prime", "bias"))
    pair.t_prime.data.fill_(GOLDEN["t_prime"])
    pair.bias.data.fill_(GOLDEN["bias"])
    return pair


def test_embeddings_similarity_and_loss_equal_the_authors(pair: ContrastivePair) -> None:
    ids = token_ids(10, 200, 2, 24)
    mask = torch.ones_like(ids)
    mask[1, 18:] = 0
    with torch.inference_mode():
        images = pair.encode_image(uniform(11, 2, 1, 128, 256, 256))
        texts = pair.encode_text(ids, mask)
        loss = siglip_loss(images, texts, pair.t_prime, pair.bias)
    assert_equals_golden(images, GOLDEN["image_embeds"])
    assert_equals_golden(texts, GOLDEN["text_embeds"])
    similarity = torch.tensor(GOLDEN["similarity"])
    assert (images @ texts.T - similarity).abs().max() <= 1e-4 * similarity.abs().max()
    assert float(loss) == pytest.approx(GOLDEN["siglip_loss"], rel=1e-4)


def test_names_and_shapes_are_the_published_ones(pair: ContrastivePair) -> None:
    assert layout_digest(pair) == GOLDEN["layout"]


def test_the_temperature_starts_at_ten_and_the_bias_at_minus_ten() -> None:
    fresh = ContrastivePair(VARIANTS["nano"], DistilBertConfig(**GOLDEN["distilbert_config"]))
    assert fresh.t_prime.exp().item() == pytest.approx(10.0)
    assert fresh.bias.item() == -10.0


def test_the_loss_is_the_sum_over_texts_and_the_mean_over_images() -> None:
    images = F.normalize(torch.randn(3, 5, generator=torch.Generator().manual_seed(0)), dim=-1)
    texts = F.normalize(torch.randn(3, 5, generator=torch.Generator().manual_seed(1)), dim=-1)
    expected = 0.0
    for i in range(3):
        for j in range(3):
            z = 1 if i == j else -1
            logit = math.exp(0.7) * float(images[i] @ texts[j]) - 2.0
            expected += math.log1p(math.exp(-z * logit)) / 3
    loss = siglip_loss(images, texts, torch.tensor(0.7), torch.tensor(-2.0))
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_texts_that_do_not_count_cost_nothing() -> None:
    similarity = torch.tensor([[0.5, -0.9]])
    one = pairwise_sigmoid_loss(
        similarity[:, :1], torch.tensor([[1.0]]), torch.tensor(0.0), torch.tensor(0.0)
    )
    both = pairwise_sigmoid_loss(
        similarity, torch.tensor([[1.0, 0.0]]), torch.tensor(0.0), torch.tensor(0.0)
    )
    assert float(one) == float(both)


def test_a_step_on_the_loss_brings_a_pair_closer() -> None:
    torch.manual_seed(0)
    images = torch.randn(4, 8, requires_grad=True)
    texts = F.normalize(torch.randn(4, 8), dim=-1)
    t, b = torch.tensor(10.0).log(), torch.tensor(-10.0)
    before = siglip_loss(F.normalize(images, dim=-1), texts, t, b)
    before.backward()
    after = siglip_loss(F.normalize(images - 0.1 * images.grad, dim=-1), texts, t, b)
    assert after < before
