import math

import pytest
import torch
from torch.nn import functional as F
from transformers.models.distilbert import DistilBertConfig

from engine.network.contrastive import (
    ContrastivePair,
    Loss,
    clip_loss,
    pairwise_sigmoid_loss,
    siglip_loss,
)
from engine.network.towers.dcformer import VARIANTS, DCFormerConfig
from engine.network.towers.vision import VisionConfig
from engine.network.towers.vit3d import AblationViT3DConfig, ViT3DConfig
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


def test_the_clip_loss_is_the_mean_cross_entropy_of_both_directions() -> None:
    images = F.normalize(torch.randn(3, 5, generator=torch.Generator().manual_seed(0)), dim=-1)
    texts = F.normalize(torch.randn(3, 5, generator=torch.Generator().manual_seed(1)), dim=-1)
    expected = 0.0
    for one, other in ((images, texts), (texts, images)):
        for i in range(3):
            logits = [math.exp(1.2) * float(one[i] @ other[j]) for j in range(3)]
            expected += (math.log(sum(map(math.exp, logits))) - logits[i]) / 6
    assert float(clip_loss(images, texts, torch.tensor(1.2))) == pytest.approx(expected, rel=1e-5)


def test_the_clip_loss_of_equal_embeddings_is_the_logarithm_of_the_batch() -> None:
    same = F.normalize(torch.ones(4, 3), dim=-1)
    assert float(clip_loss(same, same, torch.tensor(2.0))) == pytest.approx(math.log(4))


TOWERS = {
    "dcformer": DCFormerConfig((1, 1, 1, 1), (4, 4, 4, 4, 8), input_size=(32, 32, 32)),
    "vit3d": ViT3DConfig((8, 32, 32), width=8, layers=1, heads=2),
    "vit3d_ablation": AblationViT3DConfig((8, 32, 32), 8, width=8, layers=1, heads=2),
}


@pytest.mark.parametrize("loss", ["siglip", "clip"])
@pytest.mark.parametrize("vision", TOWERS.values(), ids=TOWERS)
def test_a_pair_learns_with_either_loss_and_any_vision_tower(
    vision: VisionConfig, loss: Loss
) -> None:
    torch.manual_seed(0)
    pair = ContrastivePair(vision, DistilBertConfig(**GOLDEN["distilbert_config"]), 16, loss)
    ids = token_ids(10, 200, 2, 6)
    value = pair(uniform(1, 2, 1, *vision.input_size), ids, torch.ones_like(ids))
    value.backward()
    learned = {"t_prime", "bias"} if loss == "siglip" else {"logit_scale"}
    assert learned == {n for n, p in pair.named_parameters() if p.ndim == 0}
    assert all(p.grad is not None and p.grad.any() for p in pair.vision_encoder.parameters())


def test_m3ds_tower_is_summarised_by_its_class_token() -> None:
    pair = ContrastivePair(TOWERS["vit3d"], DistilBertConfig(**GOLDEN["distilbert_config"]), 16)
    volume = uniform(1, 1, 1, 8, 32, 32)
    class_token = pair.vision_encoder(volume)[-1][:, 0]
    expected = F.normalize(pair.mm_vision_proj(class_token), dim=-1)
    torch.testing.assert_close(pair.encode_image(volume), expected)
