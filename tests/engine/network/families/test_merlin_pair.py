"""Merlin's pair gives what the authors' code printed for the same weights."""

import torch
from transformers.models.longformer import LongformerConfig

from engine.checkpoints.layouts.merlin import pair_names
from engine.checkpoints.weights import assemble
from engine.network.families.merlin_pair import MerlinPair, MerlinPairConfig, without_weights
from engine.network.towers.resnet3d import ResNet3DConfig
from tests.engine.golden import assert_equals_golden, uniform
from tests.engine.merlin import BLOCKS, GOLDEN, pair_tensors

CLIP = GOLDEN["clip"]


def pair() -> MerlinPair:
    text = LongformerConfig(**CLIP["longformer_config"])
    config = MerlinPairConfig(ResNet3DConfig((32, 48, 40), BLOCKS), text)
    return assemble(without_weights(config), pair_names(pair_tensors(config)))


@torch.no_grad()
def test_images_and_texts_embed_as_the_authors_code_embeds_them():
    made = pair()
    volume = uniform(CLIP["volume_seed"], *CLIP["volume_shape"]).permute(0, 1, 4, 2, 3)
    images = made.encode_image(volume)
    assert_equals_golden(images, CLIP["image_embeds"])
    longest = max(map(len, CLIP["token_ids"]))
    ids = torch.tensor([one + [0] * (longest - len(one)) for one in CLIP["token_ids"]])
    mask = torch.tensor([[1] * len(o) + [0] * (longest - len(o)) for o in CLIP["token_ids"]])
    texts = made.encode_text(ids, mask)
    assert_equals_golden(texts, CLIP["text_embeds"])
    similarity = torch.tensor(CLIP["similarity"])  # printed with six decimals
    torch.testing.assert_close(images @ texts.T, similarity, atol=2e-6, rtol=0)
    torch.testing.assert_close(made.encode_text(ids[1:, :11], mask[1:, :11]), texts[1:])


def test_texts_are_read_as_words_and_marks():
    made = pair()
    assert [made.as_read(text) for text in CLIP["sanitize_input"]] == CLIP["sanitized"]
