from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from dicom_io.model_input.preprocess import ModelInput, prepare
from dicom_io.phantoms.phantom import make_phantom
from engine import EMBEDDED
from engine.checkpoints.checkpoint import load_checkpoint
from engine.inference.local import LocalEngine
from engine.inference.quantization import named
from engine.judgement import size
from engine.judgement.protocol import Assesses, Level
from engine.protocol import GREEDY, Generation

SEED = 60_000_000


@pytest.fixture(scope="module")
def engine() -> LocalEngine:
    return LocalEngine.load(EMBEDDED, device="cpu")


@pytest.fixture(scope="module")
def seen(engine: LocalEngine) -> ModelInput:
    return prepare(make_phantom(SEED).volume, engine.preprocess)


@pytest.fixture(scope="module")
def generation(engine: LocalEngine, seen: ModelInput) -> Generation:
    return engine.report(seen, GREEDY)


def spans(generation: Generation) -> list[tuple[int, int]]:
    text, found, start = generation.text, [], 0
    while (end := text.find(".", start)) >= 0:
        found.append((start, end + 1))
        start = end + 2
    return found


def test_every_sentence_about_a_finding_gets_a_word(engine, seen, generation):
    assert isinstance(engine, Assesses)
    told = engine.assess(seen, generation, spans(generation))
    assert {one.finding for one in told.sentences} == set(engine.identity.findings)
    assert {one.level for one in told.sentences} <= set(get_args(Level))
    assert [one.span for one in told.sentences] == sorted(one.span for one in told.sentences)
    assert "phantoms" in told.calibrated_on
    assert told.drift is not None
    assert -1 <= told.drift <= 1
    assert told.unmentioned == ()


def test_the_same_study_gets_the_same_words(engine, seen, generation):
    asked = spans(generation)
    assert engine.assess(seen, generation, asked) == engine.assess(seen, generation, asked)


def test_no_time_is_no_word(engine, seen, generation):
    told = engine.assess(seen, generation, spans(generation), within_s=0)
    assert (told.sentences, told.unmentioned, told.drift) == ((), (), None)
    assert told.calibrated_on


def test_a_cpu_is_too_slow_for_a_large_model(engine, seen, generation, monkeypatch):
    monkeypatch.setattr(size, "LARGE", 1)
    told = engine.assess(seen, generation, spans(generation))
    assert told.sentences == ()
    assert told.calibrated_on


def test_what_a_model_abstained_from_has_no_word(engine, seen):
    withheld = Generation.withheld(engine.identity, "the images are of a head")
    assert engine.assess(seen, withheld, []).sentences == ()


def test_other_weights_are_uncalibrated(seen, generation):
    checkpoint = load_checkpoint(EMBEDDED)
    assert named(checkpoint, "int8").calibration is None
    told = LocalEngine(replace(checkpoint, calibration=None)).assess(
        seen, generation, spans(generation)
    )
    assert (told.sentences, told.calibrated_on, told.drift) == ((), "", None)
