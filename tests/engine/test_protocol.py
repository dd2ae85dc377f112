"""What the service relies on, asked of every engine alike."""

import json
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicom_io.errors import EngineError
from dicom_io.model_input.preprocess import PreprocessSpec
from engine.fake import FakeEngine
from engine.inference.local import LocalEngine
from engine.protocol import Answer, Generation, ReportEngine, Sampling
from engine.serving.vllm import vllm_engine
from engine.serving.vllm_server import VllmServer
from tests.engine.conftest import input_for
from tests.engine.servers import remote

SHORT = Sampling(max_new_tokens=8)
DRAWN = Sampling(max_new_tokens=8, temperature=1, seed=5)
CHOICES = ("the liver", "the spleen", "ascites")


ENGINES = ["fake", "local", "vLLM", "fake over HTTP", "local over HTTP", "vLLM over HTTP"]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[ReportEngine]:
    engine: ReportEngine = FakeEngine()
    if "vLLM" in request.param:
        engine = request.getfixturevalue("both")[1]
    if "local" in request.param:
        engine = LocalEngine.load(request.getfixturevalue("folder"), device="cpu")
    if "HTTP" not in request.param:
        yield engine
        return
    with remote(engine, at_once=4 if "vLLM" in request.param else 1) as client:
        yield client


def test_it_says_who_it_is(engine: ReportEngine) -> None:
    assert engine.identity.name
    assert len(engine.identity.digest) == 64
    assert engine.identity.demonstration


def test_a_report_names_the_model_that_wrote_it(engine: ReportEngine) -> None:
    assert engine.report(input_for(engine.preprocess), SHORT).identity == engine.identity


def test_every_token_has_a_piece_and_a_log_probability(engine: ReportEngine) -> None:
    generation = engine.report(input_for(engine.preprocess), SHORT)
    assert len(generation.token_ids) == len(generation.tokens) == len(generation.token_logprobs)
    assert generation.token_ids
    assert all(math.isfinite(p) and p <= 0 for p in generation.token_logprobs)


def test_the_pieces_spell_the_text(engine: ReportEngine) -> None:
    generation = engine.report(input_for(engine.preprocess), SHORT)
    assert "".join(generation.tokens) == generation.text


def test_the_pieces_are_told_as_they_are_written(engine: ReportEngine) -> None:
    told: list[str] = []
    generation = engine.report(input_for(engine.preprocess), SHORT, on_token=told.append)
    assert tuple(told) == generation.tokens


def test_a_listener_that_fails_ends_the_report(engine: ReportEngine) -> None:
    def hang_up(piece: str) -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        engine.report(input_for(engine.preprocess), SHORT, on_token=hang_up)
    assert engine.report(input_for(engine.preprocess), SHORT).text


def test_the_same_input_gives_the_same_report(engine: ReportEngine) -> None:
    first, second = (engine.report(input_for(engine.preprocess), SHORT) for _ in range(2))
    assert_same(first, second)


def test_another_input_has_another_embedding(engine: ReportEngine) -> None:
    first, second = (engine.report(input_for(engine.preprocess, s), SHORT) for s in (1, 2))
    assert first.image_embedding.dtype == np.float32
    assert first.image_embedding.ndim == 1
    assert not np.array_equal(first.image_embedding, second.image_embedding)


def test_the_same_seed_draws_the_same_report(engine: ReportEngine) -> None:
    first, second = (engine.report(input_for(engine.preprocess), DRAWN) for _ in range(2))
    assert first.token_ids == second.token_ids


def test_a_sample_is_the_report_of_the_next_seed(engine: ReportEngine) -> None:
    model_input = input_for(engine.preprocess)
    samples = engine.report_samples(model_input, 3, DRAWN)
    seeds = range(DRAWN.seed, DRAWN.seed + 3)
    alone = [engine.report(model_input, Sampling(8, temperature=1, seed=seed)) for seed in seeds]
    assert len(samples) == 3
    for sample, report in zip(samples, alone, strict=True):
        assert_same(sample, report)


@pytest.mark.parametrize("sampling", [SHORT, DRAWN], ids=["greedy", "drawn"])
def test_a_batch_gives_what_each_gives_alone(engine: ReportEngine, sampling: Sampling) -> None:
    model_inputs = [input_for(engine.preprocess, seed) for seed in (1, 2, 3)]
    for together, model_input in zip(
        engine.report_batch(model_inputs, sampling), model_inputs, strict=True
    ):
        assert_same(together, engine.report(model_input, sampling))


def test_a_batch_may_be_empty(engine: ReportEngine) -> None:
    assert engine.report_batch([], SHORT) == ()


def test_a_text_that_is_cut_off_says_so(engine: ReportEngine) -> None:
    generation = engine.report(input_for(engine.preprocess), Sampling(max_new_tokens=1))
    assert generation.finish_reason == "length"
    assert len(generation.token_ids) == 1


def test_it_does_not_abstain_without_reason(engine: ReportEngine) -> None:
    assert engine.report(input_for(engine.preprocess), SHORT).abstained is None


def test_an_open_question_has_an_answer_and_no_choices(engine: ReportEngine) -> None:
    answer = engine.ask(input_for(engine.preprocess), "describe the spleen?", sampling=SHORT)
    assert answer.generation.text
    assert answer.generation.identity == engine.identity
    assert answer.choices == ()
    assert answer.choice is None


def test_every_choice_has_its_letter_and_probability(engine: ReportEngine) -> None:
    answer = engine.ask(input_for(engine.preprocess), "describe?", CHOICES, SHORT)
    assert [choice.letter for choice in answer.choices] == ["A", "B", "C"]
    assert tuple(choice.text for choice in answer.choices) == CHOICES
    assert sum(choice.probability for choice in answer.choices) == pytest.approx(1)
    assert answer.choice is not None
    assert answer.choice.probability == max(choice.probability for choice in answer.choices)


def test_an_answer_is_told_as_it_is_written(engine: ReportEngine) -> None:
    told: list[str] = []
    answer = engine.ask(input_for(engine.preprocess), "the liver?", (), SHORT, on_token=told.append)
    assert tuple(told) == answer.generation.tokens


@pytest.mark.parametrize(
    ("question", "choices", "why"),
    [
        (" ", (), "must not be empty"),
        ("where?", ("the liver", ""), "must not be empty"),
        ("where?", ("the liver",), "2 to 26 choices, got 1"),
        ("where?", ("liver",) * 27, "2 to 26 choices, got 27"),
    ],
)
def test_a_question_that_cannot_be_put_is_refused(
    engine: ReportEngine, question: str, choices: tuple[str, ...], why: str
) -> None:
    with pytest.raises(EngineError, match=why):
        engine.ask(input_for(engine.preprocess), question, choices)


def test_a_generation_survives_a_trip_through_json(engine: ReportEngine) -> None:
    generation = engine.report(input_for(engine.preprocess), SHORT)
    again = Generation.from_dict(through_json(generation.to_dict()))
    assert again.identity == generation.identity
    assert_same(again, generation)


def test_an_answer_survives_a_trip_through_json(engine: ReportEngine) -> None:
    answer = engine.ask(input_for(engine.preprocess), "describe?", CHOICES, SHORT)
    again = Answer.from_dict(through_json(answer.to_dict()))
    assert again.choices == answer.choices
    assert_same(again.generation, answer.generation)


def test_input_of_another_recipe_is_refused(engine: ReportEngine) -> None:
    other = PreprocessSpec(size=engine.preprocess.size, window=(600.0, 1500.0))
    with pytest.raises(EngineError, match="this model needs"):
        engine.report(input_for(other))


def test_input_of_another_shape_is_refused(engine: ReportEngine) -> None:
    model_input = input_for(engine.preprocess)
    model_input.pixels.resize((1, 4, 4, 4), refcheck=False)
    with pytest.raises(EngineError, match=r"must be \(1, "):
        engine.report(model_input)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"repetition_penalty": 0.5}, "repetition_penalty"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_sampling_out_of_range_is_named(values: dict[str, Any], name: str) -> None:
    with pytest.raises(EngineError, match=name):
        Sampling(**values)


@pytest.fixture(scope="module")
def both(written_by_vllm: tuple[Path, VllmServer]) -> Iterator[tuple[LocalEngine, LocalEngine]]:
    """One checkpoint, whose text is written here and by vLLM."""
    folder, server = written_by_vllm
    with vllm_engine(folder, server.url, token=server.token, device="cpu") as vllm:
        yield LocalEngine.load(folder, device="cpu"), vllm


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(max_new_tokens=40),
        Sampling(max_new_tokens=48, stop_at_loop=False),
    ],
    ids=["to its end", "to its limit"],
)
def test_one_checkpoint_writes_one_text_whoever_runs_it(
    both: tuple[LocalEngine, LocalEngine], sampling: Sampling
) -> None:
    local, vllm = both
    model_inputs = [input_for(local.preprocess, seed) for seed in range(6)]
    texts = zip(
        local.report_batch(model_inputs, sampling),
        vllm.report_batch(model_inputs, sampling),
        strict=True,
    )
    for one, other in texts:
        assert_same(one, other)


def test_one_checkpoint_weighs_choices_alike_whoever_runs_it(
    both: tuple[LocalEngine, LocalEngine],
) -> None:
    model_input = input_for(both[0].preprocess)
    here, there = (engine.ask(model_input, "describe?", CHOICES, SHORT) for engine in both)
    assert_same(here.generation, there.generation)
    assert [c.probability for c in here.choices] == pytest.approx(
        [c.probability for c in there.choices], rel=1e-4
    )


def test_many_callers_of_vllm_are_answered_as_each_alone(
    both: tuple[LocalEngine, LocalEngine],
) -> None:
    local, vllm = both
    model_inputs = [input_for(local.preprocess, seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda one: vllm.report(one, SHORT), model_inputs))
    for model_input, generation in zip(model_inputs, together, strict=True):
        assert_same(generation, local.report(model_input, SHORT))


def through_json(values: dict[str, Any]) -> Any:
    return json.loads(json.dumps(values, allow_nan=False))


def assert_same(one: Generation, other: Generation) -> None:
    """The same tokens; log-probabilities up to the rounding of another batch."""
    assert (one.text, one.tokens, one.token_ids) == (other.text, other.tokens, other.token_ids)
    assert (one.finish_reason, one.abstained) == (other.finish_reason, other.abstained)
    assert one.token_logprobs == pytest.approx(other.token_logprobs, abs=1e-5)
    assert np.array_equal(one.image_embedding, other.image_embedding)
