import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from engine.checkpoint import Checkpoint
from engine.generation import generate, pieces
from tests.engine.conftest import tiny_tokenizer

PROMPT = torch.rand(1, 12, 16, generator=torch.Generator().manual_seed(3))


def ids_of(text: str) -> tuple[int, ...]:
    return tuple(tiny_tokenizer().encode(text).ids)


@torch.inference_mode()
def test_cached_keys_and_values_change_nothing(checkpoint: Checkpoint) -> None:
    model = checkpoint.model
    cached = generate(model, PROMPT, eos_id=-1, max_new_tokens=10)
    embeddings = PROMPT
    for token, logprob in zip(cached.ids, cached.logprobs, strict=True):
        scores = model(embeddings)[0, -1].log_softmax(dim=-1)
        assert int(scores.argmax()) == token
        assert float(scores[token]) == pytest.approx(logprob, abs=1e-4)
        embeddings = torch.cat([embeddings, model.embed_tokens(torch.tensor([[token]]))], dim=1)


@torch.inference_mode()
def test_the_token_that_ends_a_text_is_not_part_of_it(checkpoint: Checkpoint) -> None:
    free = generate(checkpoint.model, PROMPT, eos_id=-1, max_new_tokens=10)
    last = free.ids[-1]
    ended = generate(checkpoint.model, PROMPT, eos_id=last, max_new_tokens=10)
    assert ended.finish_reason == "eos"
    assert ended.ids == free.ids[: free.ids.index(last)]


@torch.inference_mode()
def test_it_stops_at_the_limit(checkpoint: Checkpoint) -> None:
    tokens = generate(checkpoint.model, PROMPT, eos_id=-1, max_new_tokens=3)
    assert (len(tokens.ids), tokens.finish_reason) == (3, "length")


def test_pieces_carry_their_space() -> None:
    assert pieces(tiny_tokenizer(), ids_of("no ascites. the liver.")) == (
        *("no", " ascites", ".", " the", " liver", "."),
    )


def test_special_tokens_are_no_text() -> None:
    no, ascites = ids_of("no ascites")
    unknown = tiny_tokenizer().token_to_id("<unk>")
    assert pieces(tiny_tokenizer(), (no, unknown, ascites)) == ("no", "", " ascites")


def bytes_tokenizer(text: str) -> tuple[Tokenizer, tuple[int, ...]]:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer, tuple(tokenizer.encode(text).ids)


def test_a_character_of_several_tokens_belongs_to_its_last() -> None:
    tokenizer, ids = bytes_tokenizer("≥5")
    assert pieces(tokenizer, ids) == ("", "", "≥", "5")


def test_a_character_that_was_cut_off_is_left_out() -> None:
    tokenizer, ids = bytes_tokenizer(" 5≥")
    assert pieces(tokenizer, ids[:-1]) == ("", "5", "", "")
