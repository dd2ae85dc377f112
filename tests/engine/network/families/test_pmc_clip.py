"""PMC-CLIP gives what the authors' code printed, and a volume is seen by one written rule."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.models.bert import BertConfig

from engine.network.families.pmc_clip import (
    SLICES,
    PMCClip,
    PMCClipConfig,
    SliceEncoderConfig,
    as_image,
    chosen,
)
from tests.engine.golden import FAMILIES, assert_equals_golden, filled, uniform

GOLDEN = FAMILIES["pmc_clip"]
CLIP, PROTOCOL = GOLDEN["clip"], GOLDEN["protocol"]


@pytest.fixture(scope="module")
def pair() -> PMCClip:
    text = BertConfig(**CLIP["bert_config"], attn_implementation="eager")
    made = PMCClip(PMCClipConfig(SliceEncoderConfig(), text))
    filled(made)
    return made


@torch.no_grad()
def test_images_embed_as_the_authors_code_embeds_them(pair):
    images = uniform(GOLDEN["vision"]["seed"], 2, 3, 224, 224) * 4 - 2
    assert_equals_golden(pair.visual(images), GOLDEN["image_features"])


@torch.no_grad()
def test_texts_embed_with_their_filling_and_without_the_pooler(pair):
    longest = max(map(len, CLIP["token_ids"]))
    ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids in CLIP["token_ids"]])
    assert_equals_golden(pair.encode_text(ids, ids != 0), CLIP["text_embeds"])


@pytest.mark.parametrize("name", GOLDEN["transform"])
def test_a_slice_is_prepared_as_the_authors_prepare_an_image(name):
    figure = GOLDEN["transform"][name]
    grey = np.random.default_rng(figure["seed"]).random(figure["shape_rows_columns"])
    assert_equals_golden(as_image(torch.from_numpy(np.floor(grey * 256) / 255)), figure["output"])


@torch.no_grad()
def test_a_volume_is_as_similar_as_its_most_similar_slice(pair):
    *_, seed = PROTOCOL["volume_seeds"]
    *_, depth = PROTOCOL["depths"]
    stack = np.random.default_rng(seed).random((depth, *PROTOCOL["plane"]))
    [slices] = pair.encode_image(torch.from_numpy(stack).float()[None, None])
    texts = text_embeds(pair)
    mean = F.normalize(slices.mean(dim=0), dim=-1)
    for found, wanted in (
        ((slices @ texts.T).amax(dim=0), "similarity_max"),
        (mean @ texts.T, "similarity_mean"),
    ):
        expected = torch.tensor(PROTOCOL[wanted][-1])  # printed with six decimals
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def text_embeds(pair: PMCClip) -> Tensor:
    rows = [torch.tensor([ids]) for ids in CLIP["token_ids"]]
    return torch.cat([pair.encode_text(ids, torch.ones_like(ids)) for ids in rows])


@pytest.mark.parametrize("depth", [32, 12, 7])
def test_ten_slices_are_taken_at_the_middle_of_ten_parts(depth):
    taken = chosen(torch.arange(depth)[:, None, None].expand(depth, 2, 2))
    assert taken[:, 0, 0].tolist() == PROTOCOL["slice_indices"][str(depth)]
    assert len(taken) == SLICES


def test_the_published_sizes_are_the_authors():
    with torch.device("meta"):
        pair = PMCClip(PMCClipConfig(SliceEncoderConfig(), BertConfig(vocab_size=30522)))
    visual = sum(p.numel() for p in pair.visual.parameters())
    assert visual == GOLDEN["parameters"]["visual"]
