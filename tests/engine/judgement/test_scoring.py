from __future__ import annotations

import numpy as np
import pytest
import torch

from dicom_io.model_input.preprocess import ModelInput, prepare
from dicom_io.phantoms.phantom import make_phantom
from engine import EMBEDDED
from engine.inference.local import LocalEngine
from engine.judgement.branches import Branch
from engine.judgement.moving import MOVES, moved
from engine.judgement.phrasing import Phrasing
from engine.judgement.places import cut_at, end_of_findings
from engine.judgement.scoring import Alternative, averaged, normalised
from engine.protocol import GREEDY, Generation
from tests.engine.conftest import input_for

ASCITES = Phrasing(
    finding="ascites",
    terms=("ascites", "free fluid"),
    facts={
        "present": ("There is ascites.", "Ascites is present."),
        "absent": ("There is no ascites.", "No free fluid is seen in the abdomen."),
    },
)
ASKED = Phrasing(finding="splenomegaly", terms=("sple",), question="Is there splenomegaly?")


@pytest.fixture(scope="module")
def engine() -> LocalEngine:
    return LocalEngine.load(EMBEDDED, device="cpu")


@pytest.fixture(scope="module")
def seen(engine: LocalEngine) -> ModelInput:
    return prepare(make_phantom(60_000_000, plane="axial").volume, engine.preprocess)


@pytest.fixture(scope="module")
def generation(engine: LocalEngine, seen: ModelInput) -> Generation:
    return engine.report(seen, GREEDY)


def about(generation: Generation, word: str) -> list[tuple[int, int]]:
    text = generation.text
    at = text.lower().find(word)
    start = max(text.rfind(".", 0, at), text.rfind(":", 0, at)) + 2
    return [(start, text.find(".", at) + 1)]


def test_a_sentence_is_weighed_against_what_else_could_be_said(engine, seen, generation):
    truth = make_phantom(60_000_000, plane="axial").truth.finding("ascites")
    span = about(generation, "ascites" if "ascites" in generation.text else "free fluid")
    (score,) = engine.score(seen, generation, span, [ASCITES])
    assert score.span == span[0]
    assert set(score.posterior) == {"present", "absent"}
    assert sum(score.posterior.values()) == pytest.approx(1)
    assert score.said == ("present" if truth else "absent")
    assert score.of_said > 0.5


def test_what_is_not_mentioned_is_asked_too(engine, seen, generation):
    (there,) = engine.score(seen, generation, [], [ASCITES])
    assert (there.said, there.span) == (None, None)
    assert sum(there.posterior.values()) == pytest.approx(1)


def test_where_no_sentence_is_listed_the_model_is_asked(engine, seen, generation):
    (score,) = engine.score(seen, generation, about(generation, "sple"), [ASKED])
    assert set(score.posterior) == {"present", "absent"}
    assert sum(score.posterior.values()) == pytest.approx(1)
    assert score.of_said > 0.5


def test_no_time_is_no_score(engine, seen, generation):
    assert engine.score(seen, generation, [], [ASCITES, ASKED], within_s=0) == ()


def test_what_a_model_abstained_from_has_no_score(engine, seen):
    withheld = Generation.withheld(engine.identity, "the images are of a head")
    assert engine.score(seen, withheld, [], [ASCITES]) == ()


def test_a_report_is_written_as_before(engine, seen, generation):
    engine.score(seen, generation, [], [ASCITES])
    assert engine.report(seen, GREEDY).text == generation.text


def test_an_input_is_moved_and_its_edge_repeated(engine):
    still = input_for(engine.preprocess)
    inner = (slice(None), *[slice(3, -3)] * 3)
    for move, one in zip(MOVES, moved(still), strict=True):
        assert one.pixels.shape == still.pixels.shape
        rolled = np.roll(still.pixels, move, axis=(1, 2, 3))
        assert np.array_equal(one.pixels[inner], rolled[inner])
        near, far = (0, move[0]) if move[0] > 0 else (-1, move[0] - 1)
        assert np.array_equal(one.pixels[0, near], one.pixels[0, far])


def test_wordings_of_a_fact_are_summed_and_findings_kept_apart():
    known = [
        Alternative("a", "present", Branch(0, [1])),
        Alternative("a", "present", Branch(0, [2])),
        Alternative("a", "absent", Branch(0, [3])),
        Alternative("b", "absent", Branch(0, [4])),
    ]
    shares = normalised(known, np.log([0.1, 0.2, 0.1, 0.5]) - 500)
    assert shares["a"] == pytest.approx({"present": 0.75, "absent": 0.25})
    assert shares["b"] == pytest.approx({"absent": 1})
    other = {"a": {"present": 0.25, "absent": 0.75}, "b": {"absent": 1.0}}
    assert averaged([shares, other])["a"] == pytest.approx({"present": 0.5, "absent": 0.5})


def test_a_place_in_the_text_is_a_place_in_its_tokens(generation):
    start = generation.text.index("Impression")
    first, lead = cut_at(generation, start)
    assert "".join(generation.tokens[:first]) + lead == generation.text[:start]
    assert end_of_findings(generation) == (first, lead)
    whole, nothing = cut_at(generation, len(generation.text))
    assert (whole, nothing) == (len(generation.tokens), "")
    assert not torch.is_inference_mode_enabled()
