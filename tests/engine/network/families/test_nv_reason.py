"""NV-Reason-CT gives what the authors' code printed for the same weights."""

import numpy as np
import pytest
import torch
from transformers.models.qwen3_5 import Qwen3_5TextConfig

from engine.checkpoints.decoding import Decoding
from engine.inference.sequential import SequentialGenerator
from engine.network.families.nv_reason import NVReason, NVReasonConfig
from engine.network.towers.primus import Merger, Primus, PrimusConfig
from engine.protocol import Sampling
from tests.engine.golden import FAMILIES, assert_equals_golden, uniform
from tests.engine.nv_reason import GOLDEN, IMAGE, TEXT, VISION, filled_network

VLM = GOLDEN["vlm"]


@pytest.fixture(scope="module")
def model() -> NVReason:
    config = NVReasonConfig(VISION, Qwen3_5TextConfig(**TEXT), image_start=VLM["nt"] + 1)
    return filled_network(config)


@pytest.fixture(scope="module")
def volume() -> torch.Tensor:
    """In [0, 1]; the authors' figures are of [-1, 1]."""
    return uniform(GOLDEN["vision"]["seed"], *GOLDEN["vision"]["shape"])


def prompt() -> torch.Tensor:
    nt, count = VLM["nt"], VISION.shapes[0][0]
    text = np.random.default_rng(VLM["ids_seed"]).integers(0, 280, (1, nt + 14))[0].tolist()
    return torch.tensor([[*text[:nt], 292, *[IMAGE] * count, 293, *text[nt:]]])


@torch.no_grad()
def test_the_tower_sees_what_the_authors_tower_sees(model, volume):
    [features] = model.encode_image(volume)
    assert_equals_golden(features, GOLDEN["vision"]["features"])
    assert_equals_golden(model.image_tokens([features])[0], GOLDEN["vision"]["embeddings"])


@torch.no_grad()
def test_positions_logits_and_greedy_tokens_are_the_authors(model, volume):
    embedded = model.embed_prompt(prompt(), model.image_tokens(model.encode_image(volume)))
    axes = model.axes(torch.arange(embedded.shape[1])[None])
    assert axes[:, 0].tolist() == VLM["position_ids"]
    logits = model(embedded)
    assert_equals_golden(logits, VLM["logits"])
    last = torch.tensor(VLM["last_logits"])
    torch.testing.assert_close(logits[0, -1, : len(last)], last, atol=2e-5, rtol=1e-5)
    generator = SequentialGenerator(model, Decoding())
    sampling = Sampling(len(VLM["greedy_tokens"]), stop_at_loop=False)
    [text] = generator.write(generator.read([embedded[0]]), sampling)
    assert list(text.ids) == VLM["greedy_tokens"]


def test_the_published_tower_has_the_authors_number_of_parameters():
    with torch.device("meta"):
        parts = [Primus(PrimusConfig()), Merger(864, 2560)]
    count = sum(p.numel() for part in parts for p in part.parameters())
    assert count == FAMILIES["nv_reason"]["parameters"]
