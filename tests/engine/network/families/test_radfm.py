"""RadFM gives what the authors' code printed for the same weights."""

from typing import Any

import pytest
import torch
from torch import Tensor

from engine.checkpoints.decoding import Decoding
from engine.inference.generation import Generator
from engine.network.families.radfm import RadFM, RadFMConfig, RadFMViTConfig
from engine.protocol import Sampling
from tests.engine.golden import assert_equals_golden, uniform
from tests.engine.radfm import GOLDEN, filled_radfm, llama

TOWER = GOLDEN["vision_tower"]
WORDS = GOLDEN["llm_config"]["vocab_size"]


@pytest.fixture(scope="module")
def model() -> RadFM:
    return filled_radfm(RadFMConfig(RadFMViTConfig(), llama(WORDS)))


def volumes(seed: int, *shape: int) -> Tensor:
    """The authors have the depth last; here it comes first."""
    return uniform(seed, *shape).movedim(-1, -3)


@pytest.mark.parametrize("which", ["a", "b"])
@torch.no_grad()
def test_tower_and_resampler_are_the_authors(model, which):
    golden = TOWER[which]
    hidden_states = model.encode_image(volumes(golden["volume_seed"], *golden["volume_shape"]))
    for number, figure in golden["hidden_states"].items():
        assert_equals_golden(hidden_states[int(number)], figure)
    resampler = model.model.mm_projector
    assert_equals_golden(resampler.resample(hidden_states[-1])[None], golden["perceiver"])
    assert_equals_golden(model.image_tokens(hidden_states), golden["fc"])


def embedded(model: RadFM, golden: dict[str, Any]) -> Tensor:
    """Prompts with any number of images, whose tokens the text may name in any order."""
    images = volumes(golden["vision_seed"], *golden["vision_shape"])
    tokens = model.image_tokens(model.encode_image(images.flatten(0, 1)))
    ids = torch.tensor(golden["token_ids"]).reshape(len(images), -1)
    named = ids[ids > WORDS + 1].reshape(len(images), -1) - (WORDS + 2)
    of_each = tokens.reshape(len(images), -1, tokens.shape[-1])
    seen = torch.stack([own[order] for own, order in zip(of_each, named, strict=True)])
    return model.embed_prompt(ids.clamp(max=WORDS + 2), seen)


@pytest.mark.parametrize("which", ["one_image", "two_images", "batch"])
@torch.no_grad()
def test_logits_and_greedy_tokens_are_the_authors(model, which):
    golden = GOLDEN[which]
    prompt = embedded(model, golden)
    assert_equals_golden(prompt, golden["inputs_embeds"])
    assert_equals_golden(model(prompt), golden["logits"])
    for own, tokens in zip(prompt, golden["greedy_tokens"], strict=False):
        generator = Generator(model, Decoding(ends=frozenset({1})))
        [text] = generator.write(generator.read([own]), Sampling(len(tokens), stop_at_loop=False))
        assert list(text.ids) == tokens
