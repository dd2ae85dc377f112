"""What the service relies on, asked of every engine alike."""

import math
from pathlib import Path

import numpy as np
import pytest

from dicom_io.errors import EngineError
from dicom_io.preprocess import PreprocessSpec
from engine.fake import FakeEngine
from engine.local import LocalEngine
from engine.protocol import ReportEngine
from tests.engine.conftest import input_for


@pytest.fixture(params=["fake", "local"])
def engine(request: pytest.FixtureRequest) -> ReportEngine:
    if request.param == "fake":
        return FakeEngine()
    folder: Path = request.getfixturevalue("folder")
    return LocalEngine.load(folder, device="cpu")


def test_it_says_who_it_is(engine: ReportEngine) -> None:
    assert engine.identity.name
    assert len(engine.identity.digest) == 64
    assert engine.identity.demonstration


def test_a_report_names_the_model_that_wrote_it(engine: ReportEngine) -> None:
    assert engine.report(input_for(engine.preprocess), max_new_tokens=4).identity == engine.identity


def test_every_token_has_a_piece_and_a_log_probability(engine: ReportEngine) -> None:
    generation = engine.report(input_for(engine.preprocess), max_new_tokens=8)
    assert len(generation.token_ids) == len(generation.tokens) == len(generation.token_logprobs)
    assert generation.token_ids
    assert all(math.isfinite(p) and p <= 0 for p in generation.token_logprobs)


def test_the_pieces_spell_the_text(engine: ReportEngine) -> None:
    generation = engine.report(input_for(engine.preprocess), max_new_tokens=8)
    assert "".join(generation.tokens) == generation.text


def test_the_same_input_gives_the_same_report(engine: ReportEngine) -> None:
    first, second = (
        engine.report(input_for(engine.preprocess), max_new_tokens=8) for _ in range(2)
    )
    assert first.text == second.text
    assert first.token_logprobs == second.token_logprobs
    assert np.array_equal(first.image_embedding, second.image_embedding)


def test_another_input_has_another_embedding(engine: ReportEngine) -> None:
    first, second = (
        engine.report(input_for(engine.preprocess, seed), max_new_tokens=1) for seed in (1, 2)
    )
    assert first.image_embedding.dtype == np.float32
    assert first.image_embedding.ndim == 1
    assert not np.array_equal(first.image_embedding, second.image_embedding)


def test_the_same_seed_draws_the_same_report(engine: ReportEngine) -> None:
    first, second = (
        engine.report(input_for(engine.preprocess), max_new_tokens=8, seed=5) for _ in range(2)
    )
    assert first.token_ids == second.token_ids


def test_a_text_that_is_cut_off_says_so(engine: ReportEngine) -> None:
    generation = engine.report(input_for(engine.preprocess), max_new_tokens=1)
    assert generation.finish_reason == "length"
    assert len(generation.token_ids) == 1


def test_it_does_not_abstain_without_reason(engine: ReportEngine) -> None:
    assert engine.report(input_for(engine.preprocess), max_new_tokens=1).abstained is None


def test_input_of_another_recipe_is_refused(engine: ReportEngine) -> None:
    other = PreprocessSpec(size=engine.preprocess.size, window=(600.0, 1500.0))
    with pytest.raises(EngineError, match="this model needs"):
        engine.report(input_for(other))


def test_input_of_another_shape_is_refused(engine: ReportEngine) -> None:
    model_input = input_for(engine.preprocess)
    model_input.pixels.resize((1, 4, 4, 4), refcheck=False)
    with pytest.raises(EngineError, match=r"must be \(1, "):
        engine.report(model_input)
