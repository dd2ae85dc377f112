"""The client: when it tries again, and what it says when it gives up."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest

from dicom_io.errors import EngineError, EngineFault, EngineUnavailable, OutOfDeviceMemory
from dicom_io.model_input.preprocess import ModelInput, PreprocessSpec
from engine.fake import FakeEngine
from engine.protocol import GREEDY, Sampling
from engine.serving import wire
from engine.serving.client import RemoteEngine
from engine.serving.server import make_app
from tests.engine.conftest import input_for
from tests.engine.servers import closing_client, remote, serving
from tests.ports import free_port
from tests.web import answering

SPEC = FakeEngine().preprocess
MODEL = httpx.Response(200, json=wire.pack_model(wire.ServedModel(FakeEngine().identity, SPEC)))
REPORT = httpx.Response(200, json=FakeEngine().report(input_for(SPEC)).to_dict())
UNAVAILABLE = {"error": "EngineUnavailable", "message": "busy"}


@contextmanager
def engine_answering(*answers: httpx.Response, patience_s: float = 5.0) -> Iterator[RemoteEngine]:
    """A client of a server that answers reports one after the other; the last one stays."""
    waiting = list(answers)

    def answer(request: str) -> httpx.Response:
        if request.endswith("/v1/model"):
            return MODEL
        if request.endswith("/ready"):
            return httpx.Response(200)
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    with answering(answer) as url, closing_client(url, patience_s=patience_s) as client:
        yield client


@pytest.mark.parametrize(
    "passing",
    [
        httpx.Response(503, json=UNAVAILABLE, headers={"Retry-After": "0"}),
        httpx.Response(500, text="Internal Server Error"),
        httpx.Response(502, text="<html>Bad Gateway</html>"),
        httpx.Response(504),
    ],
    ids=lambda answer: str(answer.status_code),
)
def test_what_passes_is_tried_again(passing):
    with engine_answering(passing, passing, REPORT) as client:
        assert client.report(input_for(SPEC)).text == REPORT.json()["text"]


def test_it_comes_again_when_the_server_says():
    busy = httpx.Response(503, json=UNAVAILABLE, headers={"Retry-After": "1"})
    with engine_answering(busy, REPORT) as client:
        started = time.monotonic()
        client.report(input_for(SPEC))
        assert time.monotonic() - started >= 1


def test_a_server_that_stays_busy_is_given_up_before_the_wait_it_asks_for():
    busy = httpx.Response(503, json=UNAVAILABLE, headers={"Retry-After": "60"})
    with engine_answering(busy) as client, pytest.raises(EngineUnavailable, match="answers: busy"):
        client.report(input_for(SPEC))


@pytest.mark.parametrize(
    ("status", "told", "kind"),
    [
        (422, {"error": "PromptTooLong", "message": "too long"}, EngineError),
        (503, {"error": "OutOfDeviceMemory", "message": "cuda:0 is full"}, OutOfDeviceMemory),
        (500, {"error": "EngineFault", "message": "KeyError at local.py:7"}, EngineFault),
    ],
)
def test_what_concerns_this_input_is_raised_at_once(status, told, kind):
    with (
        engine_answering(httpx.Response(status, json=told), REPORT) as client,
        pytest.raises(kind, match=told["message"]),
    ):
        client.report(input_for(SPEC))


TOO_DEEP = "[" * 100_000


@pytest.mark.parametrize(
    "garbage",
    [
        httpx.Response(200, text="<html>Please log in</html>"),
        httpx.Response(200, text="null"),
        httpx.Response(200, json=[1]),
        httpx.Response(200, json={"text": "a report, and nothing else"}),
        httpx.Response(200, json={**REPORT.json(), "tokens": 3}),
        httpx.Response(200, json={**REPORT.json(), "added_later": 3}),
        httpx.Response(200, text=TOO_DEEP),
        httpx.Response(500, text=TOO_DEEP),
    ],
)
@pytest.mark.parametrize("on_token", [None, print], ids=["whole", "in pieces"])
def test_an_answer_that_no_engine_gives_is_an_engine_that_is_unavailable(garbage, on_token):
    with (
        engine_answering(garbage, patience_s=0) as client,
        pytest.raises(EngineUnavailable, match=r"(answers|gave no answer)"),
    ):
        client.report(input_for(SPEC), on_token=on_token)


@pytest.mark.parametrize("line", [3, None, [], {"piece": None}, {"result": None}])
def test_a_line_that_no_engine_writes_is_an_engine_that_is_unavailable(line):
    with engine_answering(lines(line), patience_s=0) as client, pytest.raises(EngineUnavailable):
        client.report(input_for(SPEC), on_token=print)


def test_nobody_there_is_an_engine_that_is_unavailable():
    with closing_client(f"http://127.0.0.1:{free_port()}", patience_s=0.1) as client:
        for ask in (lambda: client.identity, lambda: client.report(input_for(SPEC))):
            with pytest.raises(EngineUnavailable, match="does not answer: ConnectError"):
                ask()


def test_somebody_else_there_is_no_engine():
    with (
        answering(lambda _: httpx.Response(404, json={"detail": "Not Found"})) as url,
        closing_client(url) as client,
        pytest.raises(EngineUnavailable, match="404: it is no ctscribe engine"),
    ):
        client.ask_identity()


@pytest.mark.parametrize("token", [None, "wrong"])
def test_a_wrong_token_leaves_studies_waiting(token):
    with (
        serving(make_app(FakeEngine(), token="secret")) as url,
        closing_client(url, token=token) as client,
        pytest.raises(EngineUnavailable, match="refuses the token"),
    ):
        client.report(input_for(SPEC))


def test_the_right_token_is_sent_and_never_shown():
    with (
        serving(make_app(FakeEngine(), token="secret")) as url,
        closing_client(url, token="secret") as client,
    ):
        assert client.report(input_for(SPEC)).text
        assert "secret" not in client.name + repr(client)


def test_input_of_another_recipe_is_not_even_sent():
    refusing = httpx.Response(500, text="not to be asked")
    wrong = ModelInput(np.zeros((1, 2, 2, 2), np.float32), PreprocessSpec(), np.eye(4), ())
    with engine_answering(refusing) as client, pytest.raises(EngineError, match="this model needs"):
        client.report(wrong)


class SlowEngine(FakeEngine):
    """Counts its reports."""

    def __init__(self, delay_s: float) -> None:
        super().__init__(delay_s=delay_s)
        self.reports = 0

    def report(self, model_input: ModelInput, sampling: Sampling = GREEDY, **how: Any) -> Any:
        self.reports += 1
        return super().report(model_input, sampling, **how)


def test_an_answer_that_came_too_late_is_there_when_it_is_asked_for_again():
    engine = SlowEngine(delay_s=0.6)
    with serving(make_app(engine)) as url:
        with (
            closing_client(url, timeout_s=0.2) as client,
            pytest.raises(EngineUnavailable, match="no answer in time"),
        ):
            client.report(input_for(SPEC))
        with closing_client(url) as client:
            client.report(input_for(SPEC))
    assert engine.reports == 1


class Renamed(FakeEngine):
    """Another model with the same recipe."""

    def __init__(self) -> None:
        super().__init__()
        self._identity = replace(self._identity, version="2", digest="2" * 64)


def test_a_server_that_changed_its_model_writes_nothing_before_the_client_knows():
    port = free_port()
    with closing_client(f"http://127.0.0.1:{port}", patience_s=1) as client:
        with serving(make_app(FakeEngine()), port):
            assert client.report(input_for(SPEC)).identity.version == "1"
        with serving(make_app(Renamed()), port):
            with pytest.raises(EngineUnavailable, match="serves another model now"):
                client.report(input_for(SPEC))
            assert client.report(input_for(SPEC)).identity.version == "2"


def lines(*values: Any, cut: bool = False) -> httpx.Response:
    """An answer in pieces; cut: the connection ends before the answer does."""
    content = b"".join(json.dumps(value).encode() + b"\n" for value in values)
    length = len(content) + 100 * cut
    return httpx.Response(200, content=content, headers={"Content-Length": str(length)})


WHOLE = lines({"piece": "a "}, {"piece": "b"}, {"result": REPORT.json()})


def test_an_answer_that_is_lost_on_the_way_is_asked_for_again():
    lost = httpx.Response(200, content=REPORT.content[:40], headers={"Content-Length": "999"})
    with engine_answering(lost, REPORT) as client:
        assert client.report(input_for(SPEC)).text == REPORT.json()["text"]


def test_an_answer_lost_before_its_first_piece_is_asked_for_again():
    told: list[str] = []
    with engine_answering(lines(cut=True), WHOLE) as client:
        client.report(input_for(SPEC), on_token=told.append)
    assert told == ["a ", "b"]


@pytest.mark.parametrize("cut", [True, False])
def test_no_piece_is_told_twice(cut):
    told: list[str] = []
    with (
        engine_answering(lines({"piece": "a "}, cut=cut), WHOLE) as client,
        pytest.raises(EngineUnavailable),
    ):
        client.report(input_for(SPEC), on_token=told.append)
    assert told == ["a "]


def test_an_error_after_some_pieces_is_raised():
    failed = lines({"piece": "a "}, {"error": "OutOfDeviceMemory", "message": "cuda:0 is full"})
    with engine_answering(failed) as client, pytest.raises(OutOfDeviceMemory, match="cuda:0"):
        client.report(input_for(SPEC), on_token=lambda piece: None)


def test_a_batch_over_http_becomes_batches_on_the_device():
    sizes: list[int] = []

    class Batching(FakeEngine):
        def report_batch(self, model_inputs: Any, sampling: Sampling = GREEDY) -> Any:
            sizes.append(len(model_inputs))
            return super().report_batch(model_inputs, sampling)

    model_inputs = [input_for(SPEC, seed) for seed in range(6)]
    with remote(Batching(delay_s=0.1)) as client:
        generations = client.report_batch(model_inputs)
    assert [g.text for g in generations] == [FakeEngine().report(m).text for m in model_inputs]
    assert max(sizes) > 1


def test_more_callers_than_the_server_takes_are_all_answered():
    model_inputs = [input_for(SPEC, seed) for seed in range(12)]
    with (
        serving(make_app(FakeEngine(delay_s=0.01), in_flight=2)) as url,
        closing_client(url, patience_s=30) as client,
    ):
        generations = client.report_batch(model_inputs)
    assert [g.text for g in generations] == [FakeEngine().report(m).text for m in model_inputs]


def test_a_worker_with_a_client_loads_no_torch():
    modules = "engine.serving.client, plugin.drafting.worker"
    code = f"import sys, {modules}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
