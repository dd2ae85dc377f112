from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from dicom_io.model_input.preprocess import ModelInput, prepare
from dicom_io.phantoms.phantom import Phantom, make_phantom
from engine import EMBEDDED
from engine.checkpoints.checkpoint import Checkpoint
from engine.inference.local import LocalEngine
from engine.judgement import size
from engine.judgement.protocol import Explains
from engine.protocol import GREEDY, Generation
from tests.engine.conftest import input_for


@pytest.fixture(scope="module")
def engine() -> LocalEngine:
    return LocalEngine.load(EMBEDDED, device="cpu")


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return next(
        one
        for one in (make_phantom(seed, plane="axial") for seed in range(60_000_000, 60_000_050))
        if one.truth.finding("ascites")
    )


@pytest.fixture(scope="module")
def seen(engine: LocalEngine, phantom: Phantom) -> ModelInput:
    return prepare(phantom.volume, engine.preprocess)


@pytest.fixture(scope="module")
def generation(engine: LocalEngine, seen: ModelInput) -> Generation:
    return engine.report(seen, GREEDY)


def spans(generation: Generation, word: str) -> list[tuple[int, int]]:
    found, start = [], generation.text.lower().find(word)
    while start >= 0:
        found.append((start, start + len(word)))
        start = generation.text.lower().find(word, start + 1)
    return found


def test_an_engine_names_where_a_finding_lies(engine, phantom, seen, generation):
    assert isinstance(engine, Explains)
    found = engine.explain(seen, generation, spans(generation, "ascites"))
    weights = found[0].weights
    assert weights.max() == 1
    middle = (np.array(found[0].best) + 0.5) * np.array(seen.pixels.shape[1:]) / weights.shape - 0.5
    at = np.linalg.inv(phantom.volume.affine_lps) @ seen.affine_lps @ [*middle, 1.0]
    reach = 8 / 64 * phantom.volume.hu.shape[0]  # a cell of the input, in slices
    slices = np.flatnonzero(phantom.regions["ascites"].any(axis=(1, 2)))
    assert slices.min() - reach <= at[0] <= slices.max() + reach


def test_the_impression_has_the_evidence_of_the_finding(engine, seen, generation):
    both = spans(generation, "ascites")
    assert len(both) >= 2
    found = engine.explain(seen, generation, both)
    assert [one.span for one in found] == both
    assert found[0].weights is found[-1].weights


def test_what_is_no_known_finding_has_no_evidence(engine, seen, generation):
    assert engine.explain(seen, generation, [(0, 10)]) == ()


def test_no_time_is_no_evidence(engine, seen, generation):
    assert engine.explain(seen, generation, spans(generation, "ascites"), within_s=0) == ()


def test_a_model_that_abstained_has_said_nothing(engine, seen, generation):
    withheld = Generation.withheld(engine.identity, "the images are of a head")
    assert engine.explain(seen, withheld, [(0, 5)]) == ()


def test_a_model_without_baselines_names_nothing(checkpoint: Checkpoint):
    engine = LocalEngine(checkpoint)
    model_input = input_for(checkpoint.preprocess)
    generation = engine.report(model_input, replace(GREEDY, max_new_tokens=4))
    assert engine.explain(model_input, generation, [(0, 5)]) == ()


def test_a_cpu_is_too_slow_for_a_large_model(seen, generation, monkeypatch):
    monkeypatch.setattr(size, "LARGE", 1)
    engine = LocalEngine.load(EMBEDDED, device="cpu")
    assert not engine.can_explain
    assert engine.explain(seen, generation, spans(generation, "ascites")) == ()


def test_a_report_is_written_as_before(engine, seen, generation):
    engine.explain(seen, generation, spans(generation, "ascites"))
    assert engine.report(seen, GREEDY).text == generation.text
    assert not torch.is_inference_mode_enabled()
