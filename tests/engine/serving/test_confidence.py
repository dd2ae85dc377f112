"""Confidence over HTTP: asked of a server as of an engine here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import httpx
import pytest

from dicom_io.errors import EngineError, EngineUnavailable
from dicom_io.model_input.preprocess import ModelInput
from engine.fake import FakeEngine
from engine.judgement.protocol import Assesses, Assessment, Confidence
from engine.protocol import Generation
from engine.serving import wire
from engine.serving.judging import judging
from engine.serving.server import make_app
from engine.serving.wire import ConfidenceTask
from reporting.draft import assertions_in
from tests.engine.conftest import input_for
from tests.engine.servers import closing_client, remote, serving
from tests.web import answering

SPEC = FakeEngine().preprocess
INPUT = input_for(SPEC)
REPORT = FakeEngine().report(INPUT)
SPANS = assertions_in(REPORT.text)
FOUND = Assessment(
    tuple(Confidence(span, "ascites", False, "low") for span in SPANS),
    ("splenomegaly",),
    "900 phantoms, 900 studies",
    -0.25,
)


class Calibrated(FakeEngine):
    """Is unsure of every sentence."""

    can_assess = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, float]] = []

    def assess(
        self,
        model_input: ModelInput,
        generation: Generation,
        spans: Sequence[tuple[int, int]],
        *,
        within_s: float = float("inf"),
    ) -> Assessment:
        self.asked.append((generation.text, within_s))
        assert [*spans] == [*SPANS]
        return FOUND


def test_a_server_s_confidence_is_that_of_its_engine() -> None:
    engine = Calibrated()
    with remote(engine) as client:
        assert isinstance(client, Assesses)
        assert client.can_assess
        assert client.assess(INPUT, REPORT, SPANS, within_s=7) == FOUND
    ((text, left_s),) = engine.asked
    assert text == REPORT.text
    assert 0 < left_s <= 7


def test_a_model_that_nobody_calibrated_is_not_asked() -> None:
    with serving(make_app(FakeEngine())) as url, closing_client(url) as client:
        assert client.assess(INPUT, REPORT, SPANS) == Assessment(())
        told = httpx.get(f"{url}/metrics").text
    assert 'path="/v1/confidence"' not in told
    with pytest.raises(EngineError, match="nobody has calibrated"):
        judging(FakeEngine(), INPUT, ConfidenceTask.of(REPORT, SPANS, 1.0))


def test_the_time_in_the_line_counts() -> None:
    engine = Calibrated()
    judging(engine, INPUT, ConfidenceTask.of(REPORT, SPANS, 0.0))()
    assert engine.asked == [(REPORT.text, 0.0)]


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        {"sentences": 7},
        asdict(FOUND) | {"drift": "far"},
        asdict(FOUND) | {"sentences": [asdict(FOUND.sentences[0]) | {"level": "certain"}]},
        asdict(FOUND) | {"sentences": [asdict(FOUND.sentences[0]) | {"span": [0, 1]}]},
    ],
    ids=str,
)
def test_an_answer_that_is_no_assessment_is_that_of_somebody_else(told: Any) -> None:
    model = wire.pack_model(wire.ServedModel(REPORT.identity, SPEC, can_assess=True))

    def answer(request: str) -> httpx.Response:
        return httpx.Response(200, json=model if request.endswith("/v1/model") else told)

    with (
        answering(answer) as url,
        closing_client(url) as client,
        pytest.raises(EngineUnavailable, match="answers what no ctscribe engine does"),
    ):
        client.assess(INPUT, REPORT, SPANS)
