"""Evidence over HTTP: asked of a server as of an engine here, and never before a report."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError
from typing import Any

import httpx
import numpy as np
import pytest

from dicom_io.errors import EngineError, EngineUnavailable
from dicom_io.model_input.preprocess import ModelInput, prepare
from dicom_io.phantoms.phantom import make_phantom
from engine import EMBEDDED
from engine.fake import FakeEngine
from engine.inference.local import LocalEngine
from engine.judgement.protocol import Evidence, Explains
from engine.protocol import GREEDY, Generation, ReportEngine
from engine.serving import wire
from engine.serving.device_queue import DeviceQueue
from engine.serving.server import make_app
from engine.serving.wire import EvidenceTask
from plugin.drafting.writing.evidence import find_evidence
from reporting.draft import statements_in
from tests.engine.conftest import input_for
from tests.engine.servers import closing_client, remote, serving
from tests.waiting import eventually
from tests.web import answering

SPEC = FakeEngine().preprocess
INPUT = input_for(SPEC)
REPORT = FakeEngine().report(INPUT)
SPANS = statements_in(REPORT.text)
HEADERS = {"content-type": wire.MEDIA_TYPE, "content-encoding": wire.ENCODING}


class Explaining(FakeEngine):
    """Names the first cell for every sentence."""

    can_explain = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, float]] = []

    def explain(
        self,
        model_input: ModelInput,
        generation: Generation,
        spans: Sequence[tuple[int, int]],
        *,
        within_s: float = float("inf"),
    ) -> tuple[Evidence, ...]:
        self.asked.append((generation.text, within_s))
        return tuple(evidence(span) for span in spans)


def evidence(span: tuple[int, int]) -> Evidence:
    weights = np.zeros((2, 3, 4), np.float32)
    weights[0, 0] = 1, 1 / 3, 0, np.float32(1e-30)
    return Evidence(span, "ascites", weights)


def test_a_server_s_evidence_is_that_of_its_engine() -> None:
    engine = Explaining()
    with remote(engine) as client:
        assert isinstance(client, Explains)
        assert client.can_explain
        found = client.explain(INPUT, REPORT, SPANS, within_s=7)
    expected = [evidence(span) for span in SPANS]
    assert [(one.span, one.finding) for one in found] == [(e.span, e.finding) for e in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.weights, other.weights)
    ((text, left_s),) = engine.asked
    assert text == REPORT.text
    assert 0 < left_s <= 7


def test_the_embedded_model_says_the_same_over_http() -> None:
    engine = LocalEngine.load(EMBEDDED, device="cpu")
    phantoms = (make_phantom(seed, plane="axial") for seed in range(60_000_000, 60_000_050))
    phantom = next(one for one in phantoms if one.truth.finding("ascites"))
    model_input = prepare(phantom.volume, engine.preprocess)
    report = engine.report(model_input, GREEDY)
    start = report.text.index("ascites")
    span = (start, start + len("ascites"))
    (expected,) = engine.explain(model_input, report, [span])
    with remote(engine) as client:
        (found,) = client.explain(model_input, report, [span], within_s=wire.LONGEST_LOOK_S)
        with pytest.raises(EngineError, match="do not spell its text"):
            client.explain(model_input, with_ids(report, report.token_ids[::-1]), [span])
        beyond = with_ids(report, (10**12,) * len(report.token_ids))
        with pytest.raises(EngineError, match="does not have"):
            client.explain(model_input, beyond, [span])
    np.testing.assert_allclose(found.weights, expected.weights, atol=1e-5)


def with_ids(report: Generation, ids: tuple[int, ...]) -> Generation:
    return Generation(**{**vars(report), "token_ids": ids})


@pytest.mark.parametrize("engine", [FakeEngine(), Explaining()], ids=["silent", "withheld"])
def test_where_there_is_nothing_to_say_nothing_is_sent(engine: ReportEngine) -> None:
    withheld = Generation.withheld(REPORT.identity, "the images are of a head")
    report = REPORT if type(engine) is FakeEngine else withheld
    with serving(make_app(engine)) as url, closing_client(url) as client:
        assert client.explain(INPUT, report, SPANS) == ()
        told = httpx.get(f"{url}/metrics").text
    assert 'path="/v1/evidence"' not in told


def test_who_asks_an_engine_that_has_none_is_told() -> None:
    with serving(make_app(FakeEngine())) as url:
        body = wire.pack(INPUT, EvidenceTask.of(REPORT, SPANS, 5.0))
        answer = httpx.post(f"{url}/v1/evidence", content=body, headers=HEADERS, timeout=20)
    assert answer.status_code == 422
    assert "cannot say where" in answer.json()["message"]


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ({"spans": ((0, 10**6),)}, "spans do not lie in its text"),
        ({"spans": ((-1, 4),)}, "spans do not lie in its text"),
        ({"spans": ((4, 4),)}, "spans do not lie in its text"),
        ({"spans": ((0, 1, 2),)}, "task.spans.0"),
        ({"spans": ((0, 1),) * 257}, "task.spans: Tuple should have at most 256 items"),
        ({"tokens": ("a",) * 4097}, "task.tokens: Tuple should have at most 4096 items"),
        ({"tokens": ("a",)}, "not equally many"),
        ({"token_ids": ("x",) * len(REPORT.token_ids)}, "task.token_ids.0"),
        ({"within_s": -1.0}, "task.within_s"),
        ({"within_s": float("nan")}, "task.within_s"),
        ({"within_s": 3600.0}, "task.within_s"),
        ({"hurry": True}, "unknown keys: hurry"),
    ],
)
def test_a_request_that_asks_nonsense_gets_one_clear_error(
    task: dict[str, Any], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = {"tokens": REPORT.tokens, "token_ids": REPORT.token_ids, "spans": (), "within_s": 5.0}
    monkeypatch.setattr(wire, "asdict", lambda _: plain | task)
    body = wire.pack(INPUT, EvidenceTask((), (), (), 1.0))
    with pytest.raises(EngineError) as refused:
        wire.unpack(body, EvidenceTask)
    assert why in str(refused.value)


def test_a_long_look_is_cut_to_what_servers_allow() -> None:
    assert EvidenceTask.of(REPORT, SPANS, float("inf")).within_s == wire.LONGEST_LOOK_S
    assert EvidenceTask.of(REPORT, SPANS, -3.0).within_s == 0


@pytest.mark.parametrize(
    "changed",
    [
        {"span": [0, 1]},
        {"span": "ab"},
        {"weights": "%%%"},
        {"weights": 7},
        {"cells": [2, 3, 5]},
        {"cells": [6, 4]},
        {"cells": [10**30]},
        {"weights": evidence((0, 1)).to_dict()["weights"].replace("A", "/")},  # no numbers 0 to 1
        None,
    ],
    ids=str,
)
def test_an_answer_that_is_no_evidence_is_that_of_somebody_else(changed: Any) -> None:
    told = None if changed is None else [evidence(SPANS[0]).to_dict() | changed]
    model = wire.pack_model(wire.ServedModel(REPORT.identity, SPEC, can_explain=True))

    def answer(request: str) -> httpx.Response:
        return httpx.Response(200, json=model if request.endswith("/v1/model") else told)

    with (
        answering(answer) as url,
        closing_client(url) as client,
        pytest.raises(EngineUnavailable, match="answers what no ctscribe engine does"),
    ):
        client.explain(INPUT, REPORT, SPANS)


def test_a_server_of_before_is_not_asked() -> None:
    before = wire.pack_model(wire.ServedModel(REPORT.identity, SPEC))
    del before["can_explain"]
    with (
        answering(lambda _: httpx.Response(200, content=json.dumps(before))) as url,
        closing_client(url) as client,
    ):
        assert client.explain(INPUT, REPORT, SPANS) == ()


def test_a_draft_goes_out_without_evidence_where_the_server_has_gone() -> None:
    with serving(make_app(Explaining())) as url, closing_client(url, patience_s=0.1) as client:
        assert client.can_explain
        with serving(make_app(Explaining())):
            pass
        found = find_evidence(client, INPUT, REPORT, 5.0)
        assert len(found) == len(SPANS)
    with closing_client("http://127.0.0.1:9", patience_s=0.1) as client:
        assert find_evidence(client, INPUT, REPORT, 5.0) == ()


class Line:
    """A queue whose device is busy until it is let go."""

    def __init__(self) -> None:
        self.queue = DeviceQueue(FakeEngine(), batch=1, observe=lambda answers, seconds: None)
        self.go = threading.Event()
        self.ran: list[str] = []
        begun = threading.Event()
        self.queue.call("busy", lambda: (begun.set(), self.go.wait(60)))
        assert begun.wait(60)

    def report(self, name: str) -> Any:
        return self.queue.call(name, lambda: self.ran.append(name))

    def look(self, name: str, within_s: float) -> Any:
        def run(left_s: float) -> float:
            self.ran.append(name)
            return left_s

        return self.queue.aside(name, run, within_s)


def test_reports_come_before_evidence_that_waits() -> None:
    line = Line()
    looked = line.look("evidence", 3600)
    reports = [line.report("first"), line.report("second")]
    line.go.set()
    for one in (*reports, looked):
        one.result(60)
    assert line.ran == ["first", "second", "evidence"]
    assert 0 < looked.result() < 3600


def test_evidence_whose_time_is_up_waits_no_longer_and_is_told_so() -> None:
    line = Line()
    reports = [line.report("first")]
    looked = line.look("evidence", 0.0)
    line.go.set()
    assert looked.result(60) == 0
    assert [one.result(60) for one in reports] == [None]


def test_evidence_that_nobody_waits_for_leaves_the_line() -> None:
    line = Line()
    looked = line.look("evidence", 3600)
    assert looked.cancel()
    last = line.look("last", 3600)
    line.go.set()
    last.result(60)
    assert line.ran == ["last"]
    with pytest.raises(CancelledError):
        looked.result()


def test_a_server_that_closes_refuses_evidence_that_waits() -> None:
    line = Line()
    looked, gone = line.look("evidence", 3600), line.look("gone", 3600)
    gone.cancel()
    line.queue.close()
    line.go.set()
    with pytest.raises(EngineUnavailable):
        looked.result(60)


def test_a_caller_who_hangs_up_takes_its_evidence_out_of_the_line() -> None:
    engine = Explaining()
    app = make_app(engine)
    queue, go, begun = app.state.queue, threading.Event(), threading.Event()
    with serving(app) as url:
        queue.call("busy", lambda: (begun.set(), go.wait(60))[1] and REPORT)
        assert begun.wait(60)
        body = wire.pack(INPUT, EvidenceTask.of(REPORT, SPANS, 60.0))
        headers = {**HEADERS, wire.BEAT: "0.05"}
        with httpx.stream("POST", f"{url}/v1/evidence", content=body, headers=headers) as answer:
            assert next(answer.iter_raw()) == b"\n"  # it works on it
            waiting = [*queue._line]
        assert len(waiting) == 1
        assert eventually(waiting[0].future.cancelled)
        go.set()
        queue.call("after", lambda: REPORT).result(60)
    assert engine.asked == []
