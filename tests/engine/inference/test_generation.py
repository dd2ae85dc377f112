from dataclasses import replace
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import Qwen2ForCausalLM

from dicom_io.errors import EngineError
from engine.checkpoints.checkpoint import Checkpoint
from engine.checkpoints.decoding import Decoding
from engine.inference import compiled
from engine.inference.generation import SHAPES_KEPT, Generator
from engine.inference.pieces import pieces
from engine.inference.writing import GeneratedTokens, drawn
from engine.network.families.med3dvlm import Med3DVLM
from engine.protocol import Sampling
from tests.engine.conftest import tiny_tokenizer

PROMPT = torch.rand(12, 16, generator=torch.Generator().manual_seed(3))
PROMPTS = (-PROMPT[:11], -PROMPT[:7], PROMPT[:8])
"""Their greedy texts differ."""
TEN = Sampling(max_new_tokens=10, stop_at_loop=False)
DRAWN = replace(TEN, temperature=1.0, seed=7)


@pytest.fixture
def model(checkpoint: Checkpoint) -> Med3DVLM:
    return checkpoint.model


@torch.inference_mode()
def written(
    model: Med3DVLM, *prompts: Tensor, sampling: Sampling = TEN, samples: int = 1, **said: Any
) -> list[GeneratedTokens]:
    generator = Generator(model, Decoding(**said))
    return generator.write(generator.read(prompts), sampling, samples=samples)


@torch.inference_mode()
def test_cached_keys_and_values_change_nothing(model: Med3DVLM) -> None:
    (cached,) = written(model, PROMPT)
    embeddings = PROMPT[None]
    for token, logprob in zip(cached.ids, cached.logprobs, strict=True):
        scores = model(embeddings)[0, -1].log_softmax(dim=-1)
        assert int(scores.argmax()) == token
        assert float(scores[token]) == pytest.approx(logprob, abs=1e-4)
        embeddings = torch.cat([embeddings, model.embed_tokens(torch.tensor([[token]]))], dim=1)


@torch.inference_mode()
def test_greedy_tokens_are_those_of_transformers(model: Med3DVLM) -> None:
    reference = Qwen2ForCausalLM(model.llm_config).eval()
    reference.model, reference.lm_head = model.model, model.lm_head
    reference.generation_config.pad_token_id = 0
    for prompt in PROMPTS:
        theirs = reference.generate(
            inputs_embeds=prompt[None],
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=10,
            do_sample=False,
        )
        assert written(model, prompt)[0].ids == tuple(theirs[0].tolist())


def test_the_token_that_ends_a_text_is_not_part_of_it(model: Med3DVLM) -> None:
    (free,) = written(model, PROMPT)
    last = free.ids[-1]
    (ended,) = written(model, PROMPT, ends=frozenset({last}))
    assert ended.finish_reason == "eos"
    assert ended.ids == free.ids[: free.ids.index(last)]


def test_it_stops_at_the_limit(model: Med3DVLM) -> None:
    (tokens,) = written(model, PROMPT, sampling=Sampling(max_new_tokens=3))
    assert (len(tokens.ids), tokens.finish_reason) == (3, "length")


@pytest.mark.parametrize("sampling", [TEN, DRAWN], ids=["greedy", "drawn"])
def test_prompts_of_different_lengths_do_not_disturb_each_other(
    model: Med3DVLM, sampling: Sampling
) -> None:
    alone = [written(model, prompt, sampling=sampling)[0] for prompt in PROMPTS]
    for one, other in zip(written(model, *PROMPTS, sampling=sampling), alone, strict=True):
        assert one.ids == other.ids
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)


def test_a_text_that_ends_early_waits_for_the_others(model: Med3DVLM) -> None:
    alone = [written(model, prompt, ends=frozenset({5}))[0] for prompt in PROMPTS]
    together = written(model, *PROMPTS, ends=frozenset({5}))
    assert [tokens.ids for tokens in together] == [tokens.ids for tokens in alone]
    assert [tokens.finish_reason for tokens in together] == ["length", "eos", "eos"]


def test_samples_differ_and_share_one_reading(
    model: Med3DVLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[int, ...]] = []
    forward = model.forward
    monkeypatch.setattr(
        model, "forward", lambda x, **how: read.append(tuple(x.shape[:2])) or forward(x, **how)
    )
    model.lm_head.weight.data.div_(20)
    samples = written(model, PROMPT, sampling=DRAWN, samples=4)
    assert len({tokens.ids for tokens in samples}) > 1
    assert read == [(1, 12), *[(4, 1)] * 9]


def test_log_probabilities_are_those_before_temperature(model: Med3DVLM) -> None:
    (greedy,) = written(model, PROMPT)
    (cold,) = written(model, PROMPT, sampling=replace(TEN, temperature=1e-6))
    assert cold.ids == greedy.ids
    assert cold.logprobs == pytest.approx(greedy.logprobs, abs=1e-6)


def test_the_coldest_temperature_is_greedy(model: Med3DVLM) -> None:
    (cold,) = written(model, PROMPTS[0], sampling=replace(TEN, temperature=1e-300))
    assert cold.ids == written(model, PROMPTS[0])[0].ids


def test_no_number_becomes_no_text(model: Med3DVLM) -> None:
    model.lm_head.weight.data.fill_(torch.nan)
    with pytest.raises(EngineError, match="computed nan"):
        written(model, PROMPT)


def test_a_penalty_ends_a_repetition(model: Med3DVLM) -> None:
    (free,) = written(model, PROMPT)
    (varied,) = written(model, PROMPT, sampling=replace(TEN, repetition_penalty=1e6))
    assert len(set(free.ids)) < len(set(varied.ids)) == 10


@pytest.mark.filterwarnings("ignore:Passing `repetition_penalty` with `inputs_embeds`")
@torch.inference_mode()
def test_a_checkpoints_decoding_is_that_of_transformers(model: Med3DVLM) -> None:
    """Greedy with a penalty and several tokens that end a text, as generation_config.json says."""
    reference = Qwen2ForCausalLM(model.llm_config).eval()
    reference.model, reference.lm_head = model.model, model.lm_head
    (free,) = written(model, PROMPTS[0], repetition_penalty=1.3)
    ends = [free.ids[6], 0]
    for prompt in PROMPTS:
        theirs = reference.generate(
            inputs_embeds=prompt[None],
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=10,
            do_sample=False,
            repetition_penalty=1.3,
            eos_token_id=ends,
            pad_token_id=0,
        )[0].tolist()
        (ours,) = written(model, prompt, repetition_penalty=1.3, ends=frozenset(ends))
        assert ours.ids == tuple(token for token in theirs if token not in ends)


def test_what_is_asked_for_takes_the_place_of_what_a_checkpoint_says(model: Med3DVLM) -> None:
    plain = written(model, PROMPT)
    drawing = {"temperature": 50.0, "top_k": 9, "repetition_penalty": 2.0}
    assert written(model, PROMPT, **drawing) != plain
    neutral = replace(TEN, temperature=0.0, top_k=0, repetition_penalty=1.0)
    assert written(model, PROMPT, sampling=neutral, **drawing) == plain


def test_one_of_the_likeliest_is_the_likeliest(model: Med3DVLM) -> None:
    hot = replace(TEN, temperature=50.0, top_k=1)
    (drawn_of_one,), (likeliest,) = (written(model, PROMPT, sampling=how) for how in (hot, TEN))
    assert drawn_of_one.ids == likeliest.ids


@torch.inference_mode()
def test_a_cache_is_used_again_without_a_trace(model: Med3DVLM) -> None:
    generator = Generator(model, Decoding())
    first, _, again = (
        generator.write(generator.read([prompt]), TEN) for prompt in (PROMPT, -PROMPT, PROMPT)
    )
    assert first == again


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trace and guard as on a GPU, and run the graph as it is."""
    monkeypatch.setattr(compiled, "HOW", compiled.HOW | {"mode": None, "backend": "eager"})


def compiling(test: Any) -> Any:
    """A test whose steps are traced; torch's own import warns of what torch itself still uses."""
    quiet = pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated")
    return pytest.mark.usefixtures("traced")(quiet(test))


@compiling
@torch.inference_mode()
def test_each_shape_is_one_graph_and_writes_what_the_plain_step_writes(model: Med3DVLM) -> None:
    generator = Generator(model, Decoding(), compiles=True)
    for prompts in (PROMPTS[:1], PROMPTS, PROMPTS[:1], (*PROMPTS, PROMPT), PROMPTS[1:2], PROMPTS):
        for one, other in zip(
            generator.write(generator.read(prompts), TEN), written(model, *prompts), strict=True
        ):
            assert one.ids == other.ids
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)
    # one text, and buckets of four for three texts and for four
    assert (generator.compilation.graphs, generator.compilation.fallbacks) == (2, 0)


@compiling
@torch.inference_mode()
def test_more_shapes_than_torchs_own_limit_are_all_compiled(model: Med3DVLM) -> None:
    generator = Generator(model, Decoding(), compiles=True)
    sampling = replace(TEN, max_new_tokens=2)
    for power in range(10):
        prefix = generator.read([PROMPT]).repeated(2**power)
        assert len(generator.write(prefix, sampling)) == 2**power
        assert len(generator._shapes) <= SHAPES_KEPT
    assert (generator.compilation.graphs, generator.compilation.fallbacks) == (10, 0)


@compiling
@torch.inference_mode()
def test_the_shape_that_was_used_least_lately_is_forgotten(model: Med3DVLM) -> None:
    generator = Generator(model, Decoding(), compiles=True)
    sampling = replace(TEN, max_new_tokens=2)
    for rows in (1, 2, 4, 8, 1, 16):
        generator.write(generator.read([PROMPT]).repeated(rows), sampling)
    assert [rows for rows, _ in generator._shapes] == [4, 8, 1, 16]
    generator.forget()
    assert not generator._shapes


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated")
@torch.inference_mode()
def test_what_cannot_be_compiled_runs_as_it_is_and_is_counted(
    model: Med3DVLM, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*arguments: Any) -> Any:
        raise RuntimeError("no compiler here")

    monkeypatch.setattr(compiled, "HOW", compiled.HOW | {"mode": None, "backend": refuse})
    generator = Generator(model, Decoding(), compiles=True)
    for _ in range(2):
        assert generator.write(generator.read([PROMPT]), TEN) == written(model, PROMPT)
    assert (generator.compilation.graphs, generator.compilation.fallbacks) == (0, 1)
    assert "is not compiled: BackendCompilerFailed" in caplog.text


@compiling
@torch.inference_mode()
def test_after_warming_up_nothing_is_compiled_any_more(model: Med3DVLM) -> None:
    generator = Generator(model, Decoding(), compiles=True)
    generator.warm_up(PROMPT, 4, 10)
    assert generator.compilation.graphs == 3
    for count in (1, 2, 3, 4):
        generator.write(generator.read([PROMPT] * count), TEN)
    assert (generator.compilation.graphs, generator.compilation.fallbacks) == (3, 0)


LOGITS = torch.tensor([[0.1, 0.4, 0.2, 0.3]]).double().log()


@pytest.mark.parametrize(
    ("uniform", "top_p", "top_k", "token"),
    [
        (0.0, 1, 0, 1),
        (0.39, 1, 0, 1),
        (0.41, 1, 0, 3),
        (0.71, 1, 0, 2),
        (0.91, 1, 0, 0),
        (0.999, 1, 0, 0),
        (0.999, 0.1, 0, 1),
        (0.56, 0.7, 0, 1),
        (0.58, 0.7, 0, 3),
        (0.999, 0.7, 0, 3),
        (0.999, 0.71, 0, 2),
        (0.999, 1, 1, 1),
        (0.56, 1, 2, 1),
        (0.58, 1, 2, 3),
        (0.999, 1, 3, 2),
        (0.999, 1, 9, 0),
        # of the two likeliest, 4 to 3, the first alone reaches a half
        (0.999, 0.5, 2, 1),
        (0.999, 0.6, 2, 3),
    ],
)
def test_drawing_inverts_the_distribution_function(
    uniform: float, top_p: float, top_k: int, token: int
) -> None:
    assert drawn(LOGITS, torch.tensor([uniform]).double(), top_p, top_k).tolist() == [token]


def test_draws_have_the_frequencies_of_the_model() -> None:
    uniform = torch.rand(4000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    counts = drawn(LOGITS.expand(4000, 4), uniform, 1.0).bincount(minlength=4)
    assert (counts / 4000).tolist() == pytest.approx([0.1, 0.4, 0.2, 0.3], abs=0.03)


def test_a_text_that_loops_is_cut_after_its_first_repetition(model: Med3DVLM) -> None:
    (free,) = written(model, PROMPT, sampling=replace(TEN, max_new_tokens=45))
    (cut,) = written(model, PROMPT, sampling=Sampling(max_new_tokens=45))
    assert cut.finish_reason == "repetition"
    assert len(cut.ids) == len(cut.logprobs) < 30
    assert cut.ids == free.ids[: len(cut.ids)]


def ids_of(text: str) -> tuple[int, ...]:
    return tuple(tiny_tokenizer().encode(text).ids)


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
