"""CT2Rep gives what the authors' code printed for the same weights."""

import pytest
import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from engine.checkpoints.decoding import Decoding
from engine.inference.sequential import generator_for
from engine.network.families.ct2rep import CT2Rep
from engine.protocol import Sampling
from tests.engine.ct2rep import GOLDEN, load_tiny
from tests.engine.golden import assert_equals_golden, token_ids, uniform

PLACES = torch.zeros(2, 48, dtype=torch.long)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> CT2Rep:
    return load_tiny(tmp_path_factory.mktemp("ct2rep"))


@pytest.fixture(scope="module")
def features(model) -> list[Tensor]:
    with torch.no_grad():
        # the authors' image is in [-1, 1), made of the same numbers
        return model.encode_image(uniform(GOLDEN["seeds"]["image"], *GOLDEN["image_shape"]))


@pytest.fixture(scope="module")
def target() -> Tensor:
    """Words that were written before; the second text ends early."""
    ids = token_ids(GOLDEN["seeds"]["target"], GOLDEN["V"], 2, 9) + 1
    ids[:, 0], ids[0, -1], ids[1, 6:] = 0, 0, 0
    return ids[:, :-1]


@torch.no_grad()
def test_features_and_encoded_features_are_the_authors(model, features):
    assert_equals_golden(features[-1], GOLDEN["att_feats"])
    assert_equals_golden(model.image_tokens(features), GOLDEN["encoded"])


@torch.no_grad()
def test_the_memory_of_the_first_word_is_the_authors(model, target):
    cache = DynamicCache(config=model.llm_config)
    words = model.embed_tokens(target[:, :1])
    words[..., 1::2] += 1  # the sines of position 0: 0, and cosines: 1
    memory = model.model.remember(words, cache)[:, 0]
    assert_equals_golden(memory, GOLDEN["memory_after_first_token"])


@torch.no_grad()
def test_probabilities_of_words_are_the_authors_read_at_once_or_one_by_one(model, features, target):
    prompt = model.embed_prompt(torch.cat([PLACES, target], dim=1), model.image_tokens(features))
    is_word = torch.cat([PLACES == 0, (target > 0) | (torch.arange(8) == 0)], dim=1)
    logits = model(prompt, attention_mask=is_word)
    assert_equals_golden(logits.log_softmax(dim=-1), GOLDEN["log_probabilities"])
    cache = DynamicCache(config=model.llm_config)
    parts = (prompt[:, :49], *prompt[:, 49:].split(1, dim=1))
    one_by_one = torch.cat([model(part, past_key_values=cache) for part in parts], dim=1)
    torch.testing.assert_close(one_by_one[0], logits[0])


@torch.no_grad()
def test_greedy_words_are_the_authors(model, features):
    begin = torch.cat([PLACES, PLACES[:, :1]], dim=1)
    prompts = list(model.embed_prompt(begin, model.image_tokens(features)))
    generator = generator_for(model, Decoding(ends=frozenset({0})))
    texts = generator.write(generator.read(prompts), Sampling(14, stop_at_loop=False))
    expected = [[word for word in text if word] for text in GOLDEN["greedy_plain"]]
    assert [list(text.ids) for text in texts] == expected
