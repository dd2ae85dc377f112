from typing import get_args

import pytest
import torch
from torch import Tensor
from transformers.models.qwen2 import Qwen2Config

from engine.checkpoints.decoding import Decoding
from engine.inference.generation import Generator
from engine.network.families.med3dvlm import Med3DVLM, Med3DVLMConfig, Splice
from engine.network.projector import PUBLISHED, Kind, ProjectorConfig, StreamConfig
from engine.network.towers.dcformer import VARIANTS
from engine.network.towers.vit3d import AblationViT3DConfig
from engine.protocol import Sampling
from tests.engine.conftest import PROJECTOR, VISION, tiny_llm
from tests.engine.golden import (
    FIGURES,
    assert_equals_golden,
    filled,
    layout_digest,
    token_ids,
    uniform,
)

GOLDEN = FIGURES["vlm"]


@pytest.fixture(scope="module")
def published() -> Med3DVLM:
    llm = Qwen2Config(**{k: v for k, v in GOLDEN["config"].items() if k in Qwen2Config().to_dict()})
    projector = ProjectorConfig(PUBLISHED.low, PUBLISHED.high, width=64)
    model = Med3DVLM(Med3DVLMConfig(VARIANTS["small"], projector, llm, splice="published"))
    return filled(model)


@pytest.fixture(scope="module")
def prompt(published: Med3DVLM) -> Tensor:
    with torch.inference_mode():
        hidden_states = published.encode_image(uniform(7, 1, 1, 128, 256, 256))
        image_tokens = published.project(hidden_states[3], hidden_states[4])
        return published.embed_prompt(token_ids(12, 300, 1, 280), image_tokens)


def test_names_and_shapes_are_the_published_ones(published: Med3DVLM) -> None:
    assert layout_digest(published) == GOLDEN["layout"]


def test_the_spliced_prompt_equals_the_authors(prompt: Tensor) -> None:
    assert_equals_golden(prompt, GOLDEN["inputs_embeds"])


def test_logits_equal_the_authors(published: Med3DVLM, prompt: Tensor) -> None:
    with torch.inference_mode():
        logits = published(prompt)
    assert_equals_golden(logits, GOLDEN["logits"])
    last = torch.tensor(GOLDEN["last_logits"])
    assert (logits[0, -1, : len(last)] - last).abs().max() <= 1e-4 * last.abs().max()


def test_greedy_tokens_equal_the_authors(published: Med3DVLM, prompt: Tensor) -> None:
    with torch.inference_mode():
        generator = Generator(published, Decoding())
        (tokens,) = generator.write(generator.read([prompt[0]]), Sampling(max_new_tokens=24))
    assert list(tokens.ids) == GOLDEN["greedy_tokens"]


def spliced(splice: Splice) -> tuple[Tensor, Tensor, Tensor]:
    model = Med3DVLM(Med3DVLMConfig(VISION, PROJECTOR, tiny_llm(), splice))
    ids = torch.tensor([[0] * PROJECTOR.image_tokens + [3, 4, 5]])
    image_tokens = torch.rand(1, PROJECTOR.image_tokens, 16)
    return model.embed_prompt(ids, image_tokens), model.embed_tokens(ids), image_tokens


def test_the_clean_splice_replaces_exactly_the_placeholders() -> None:
    prompt, words, image_tokens = spliced("clean")
    n = PROJECTOR.image_tokens
    assert torch.equal(prompt[:, :n], image_tokens)
    assert torch.equal(prompt[:, n:], words[:, n:])


def test_the_published_splice_keeps_one_placeholder_and_loses_the_first_word() -> None:
    prompt, words, image_tokens = spliced("published")
    n = PROJECTOR.image_tokens
    assert torch.equal(prompt[:, :1], words[:, :1])
    assert torch.equal(prompt[:, 1 : n + 1], image_tokens)
    assert torch.equal(prompt[:, n + 1 :], words[:, n + 1 :])


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_projector_stands_between_any_vision_tower_and_the_language_model(
    kind: Kind,
) -> None:
    vision = AblationViT3DConfig((8, 32, 32), 8, width=8, layers=2, heads=2)
    low, high = (StreamConfig(*shape, (4, 4)) for shape in vision.shapes[-2:])
    projector = ProjectorConfig(low, high, width=16, kind=kind)
    model = Med3DVLM(Med3DVLMConfig(vision, projector, tiny_llm()))
    image_tokens = model.image_tokens(model.encode_image(uniform(1, 2, 1, 8, 32, 32)))
    assert image_tokens.shape == (2, model.image_token_count, 16)
    model(image_tokens).sum().backward()
    assert all(p.grad is not None for p in model.model.vision_tower.parameters())
