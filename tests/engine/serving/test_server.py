"""What the server answers to whoever asks, over real HTTP."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
import zstandard
from prometheus_client.parser import text_string_to_metric_families
from safetensors.numpy import save
from starlette.testclient import TestClient

from dicom_io.errors import EngineError, EngineUnavailable, OutOfDeviceMemory
from dicom_io.model_input.preprocess import ModelInput, PreprocessSpec
from engine.fake import FakeEngine
from engine.protocol import GREEDY, Sampling
from engine.serving import wire
from engine.serving.server import make_app, serve
from engine.serving.wire import QuestionTask, ReportTask, SamplesTask
from tests.engine.conftest import input_for
from tests.engine.servers import serving
from tests.ports import free_port
from tests.waiting import eventually

HEADERS = {"content-type": wire.MEDIA_TYPE, "content-encoding": wire.ENCODING}
SPEC = FakeEngine().preprocess


class Patient(FakeEngine):
    """Answers when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.begun = threading.Event()
        self.told = 0

    def report(self, model_input: ModelInput, sampling: Sampling = GREEDY, **how: Any) -> Any:
        self.begun.set()
        assert self.go.wait(20)
        return super().report(model_input, sampling, **how)


@pytest.fixture
def url() -> Iterator[str]:
    with serving(make_app(FakeEngine())) as url:
        yield url


def request(seed: int = 1) -> bytes:
    return wire.pack(input_for(SPEC, seed), ReportTask())


def post(url: str, body: bytes, path: str = "/v1/report", **headers: str) -> httpx.Response:
    return httpx.post(url + path, content=body, headers={**HEADERS, **headers}, timeout=20)


def refused(response: httpx.Response) -> tuple[int, str, str]:
    told = response.json()
    assert sorted(told) == ["error", "message"]
    return response.status_code, told["error"], told["message"]


def test_it_answers_as_the_engine_does(url):
    answer = post(url, request())
    assert answer.status_code == 200
    expected = FakeEngine().report(input_for(SPEC)).to_dict()
    assert answer.json() == json.loads(json.dumps(expected))


def test_it_says_which_model_it_serves(url):
    told = wire.unpack_model(httpx.get(f"{url}/v1/model").json())
    assert (told.identity, told.preprocess) == (FakeEngine().identity, SPEC)


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_probes_are_answered(url, path):
    assert httpx.get(url + path).status_code == 200


def test_pieces_come_as_lines_and_the_whole_comes_last(url):
    lines = post(url, request(), accept=wire.LINES).text.splitlines()
    *pieces, last = map(json.loads, lines)
    assert "".join(piece["piece"] for piece in pieces) == last["result"]["text"]


def test_an_error_after_the_first_line_is_the_last_line():
    with serving(make_app(FakeEngine(failure=OutOfDeviceMemory("cuda:0 is full")))) as url:
        answer = post(url, request(), accept=wire.LINES)
    assert answer.status_code == 200
    assert answer.json() == {"error": "OutOfDeviceMemory", "message": "cuda:0 is full"}


@pytest.mark.parametrize(
    ("body", "headers", "status", "why"),
    [
        (b"", {}, 422, "no zstd frame"),
        (b"noise", {}, 422, "no zstd frame"),
        (request()[:-9], {}, 422, "cannot be decompressed"),
        (request(), {"content-encoding": "gzip"}, 415, "encoded as zstd"),
        (bytes(10**7), {}, 413, "must not be over"),
        (zstandard.compress(bytes(10**9)), {}, 413, "must not hold more than"),
        (wire.pack(input_for(SPEC), SamplesTask(GREEDY, 2)), {}, 422, "unknown keys: count"),
    ],
)
def test_a_malformed_request_gets_one_clear_answer(url, body, headers, status, why):
    answered, kind, message = refused(post(url, body, **headers))
    assert (answered, kind) == (status, "EngineError")
    assert why in message


@pytest.mark.parametrize(
    "request_json",
    [
        "[" * 60_000,
        json.dumps({"spec": SPEC.to_dict(), "task": {"\ud800": "half of a character"}}),
    ],
)
def test_json_that_is_hard_to_read_or_to_tell_of_is_refused_as_any_other(url, request_json):
    tensors = {"pixels": input_for(SPEC).pixels, "affine_lps": np.eye(4)}
    body = zstandard.compress(save(tensors, {"request": request_json}))
    assert refused(post(url, body))[:2] == (422, "EngineError")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_no_numbers_are_refused(url, value):
    model_input = input_for(SPEC)
    model_input.pixels[0, 0, 0, 0] = value
    status, kind, message = refused(post(url, wire.pack(model_input, ReportTask())))
    assert (status, kind) == (422, "EngineError")
    assert "no finite numbers" in message


@pytest.mark.parametrize(
    ("shape", "spec", "why"),
    [
        ((1, 4, 4, 4), SPEC, r"the model input must be \(1, 16, 32, 32\), got \(1, 4, 4, 4\)"),
        ((16, 32, 32), SPEC, "the model input must be"),
        ((1, 16, 32, 32), PreprocessSpec(size=SPEC.size, crop_foreground=False), "needs"),
    ],
)
def test_input_of_another_shape_or_recipe_is_refused(url, shape, spec, why):
    model_input = ModelInput(np.zeros(shape, np.float32), spec, np.eye(4), ())
    status, kind, message = refused(post(url, wire.pack(model_input, ReportTask())))
    assert (status, kind) == (422, "EngineError")
    with pytest.raises(EngineError, match=why):
        raise EngineError(message)


def test_a_request_for_another_model_is_refused(url):
    status, kind, message = refused(post(url, request(), **{"if-match": '"another"'}))
    assert (status, kind) == (412, "EngineUnavailable")
    assert "another model" in message


def test_an_unknown_path_is_refused_in_the_same_form(url):
    assert refused(httpx.get(f"{url}/v2/report"))[0] == 404
    assert refused(httpx.get(f"{url}/v1/report"))[0] == 405
    assert refused(httpx.get(f"{url}/openapi.json"))[0] == 404


@pytest.mark.parametrize("path", ["/v1/model", "/metrics", "/v1/report", "/nowhere"])
@pytest.mark.parametrize("given", [None, "Bearer wrong", "Basic secret", "secret"])
def test_without_the_token_nothing_is_answered(path, given):
    headers = {} if given is None else {"Authorization": given}
    with serving(make_app(FakeEngine(), token="secret")) as url:
        status, _, message = refused(httpx.request("POST", url + path, headers=headers))
    assert (status, message) == (401, "the token is missing or wrong")


def test_with_the_token_and_for_probes_everything_is_answered():
    headers = {"Authorization": "Bearer secret"}
    with serving(make_app(FakeEngine(), token="secret")) as url:
        assert post(url, request(), **headers).status_code == 200
        assert httpx.get(f"{url}/ready").status_code == 200


def test_from_another_host_nobody_is_answered_without_a_token():
    far = TestClient(make_app(FakeEngine()), client=("10.1.2.3", 4242))
    assert far.get("/v1/model").status_code == 401
    assert far.get("/health").status_code == 200
    near = TestClient(make_app(FakeEngine()), client=("::1", 4242))
    assert near.get("/v1/model").status_code == 200


def test_one_request_too_many_is_told_when_to_come_again():
    engine = Patient()
    with serving(make_app(engine, in_flight=2)) as url, ThreadPoolExecutor(2) as pool:
        taken = [pool.submit(post, url, request(seed)) for seed in (1, 2)]
        assert engine.begun.wait(10)
        assert eventually(lambda: "in_flight 2.0" in httpx.get(f"{url}/metrics").text)
        turned_away = post(url, request(3))
        engine.go.set()
        assert [answer.result().status_code for answer in taken] == [200, 200]
        assert post(url, request(3)).status_code == 200
    assert refused(turned_away)[:2] == (503, "EngineUnavailable")
    assert int(turned_away.headers["Retry-After"]) >= 1


def test_a_server_that_is_told_to_stop_finishes_what_it_took():
    engine = Patient()
    with ThreadPoolExecutor(3) as pool:
        with serving(make_app(engine, batch=1)) as url:
            taken = [pool.submit(post, url, request(seed)) for seed in (1, 2, 3)]
            assert eventually(lambda: "in_flight 3.0" in httpx.get(f"{url}/metrics").text)
            threading.Timer(0.3, engine.go.set).start()
        assert [answer.result().status_code for answer in taken] == [200, 200, 200]
        with pytest.raises(httpx.ConnectError):
            post(url, request())


def test_questions_that_are_no_text_are_refused_and_the_server_goes_on():
    with serving(make_app(FakeEngine())) as url:
        for number in range(9):
            task = QuestionTask(GREEDY, f"Is there {number} \ud800?", ())
            answer = post(url, wire.pack(input_for(SPEC, number), task), "/v1/ask")
            assert refused(answer)[:2] == (422, "EngineError")
        assert httpx.get(f"{url}/ready").status_code == 200
        assert post(url, request()).status_code == 200


def test_a_question_with_equal_choices_is_refused(url):
    task = QuestionTask(GREEDY, "Which side?", ("left", "Left "))
    answer = refused(post(url, wire.pack(input_for(SPEC), task), "/v1/ask"))
    assert answer == (422, "EngineError", "two choices are equal")


def test_a_volume_that_lies_nowhere_is_refused(url):
    nowhere = replace(input_for(SPEC), affine_lps=np.full((4, 4), np.nan))
    answer = refused(post(url, wire.pack(nowhere, ReportTask())))
    assert answer[:2] == (422, "EngineError")
    assert "affine_lps" in answer[2]


def test_a_device_that_only_fails_makes_the_server_unready():
    with serving(make_app(FakeEngine(failure=RuntimeError("CUDA error")))) as url:
        for seed in range(3):
            assert refused(post(url, request(seed)))[:2] == (500, "EngineFault")
        assert refused(httpx.get(f"{url}/ready"))[:2] == (503, "EngineUnavailable")
        assert httpx.get(f"{url}/health").status_code == 200


def test_a_device_that_only_fails_ends_the_process_for_a_supervisor_to_start_a_new_one():
    port = free_port()
    app = make_app(FakeEngine(failure=RuntimeError("CUDA error")))
    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(serve, app, "127.0.0.1", port)
        url = f"http://127.0.0.1:{port}"
        assert eventually(lambda: reachable(url))
        for seed in range(3):
            assert refused(post(url, request(seed)))[:2] == (500, "EngineFault")
        with pytest.raises(EngineUnavailable, match="3 times in a row"):
            served.result(10)


def test_headers_without_end_are_refused():
    port = free_port()
    app = make_app(FakeEngine(), token="secret")
    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(serve, app, "127.0.0.1", port)
        try:
            assert eventually(lambda: reachable(f"http://127.0.0.1:{port}"))
            with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
                peer.sendall(b"GET /health HTTP/1.1\r\nHost: gpu\r\n" + b"X: a\r\n" * 20_000)
                assert peer.recv(99).startswith(b"HTTP/1.1 400 ")
        finally:
            app.state.queue.on_broken()
            served.result(10)


def reachable(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").is_success
    except httpx.ConnectError:
        return False


def test_a_caller_who_hangs_up_ends_the_model_s_work():
    engine = Endless()
    with serving(make_app(engine)) as url:
        with httpx.stream(
            "POST", f"{url}/v1/report", content=request(), headers={**HEADERS, "Accept": wire.LINES}
        ) as answer:
            next(answer.iter_lines())
        assert engine.ended.wait(10)


class Endless(FakeEngine):
    """Writes until nobody listens."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = threading.Event()

    def report(self, model_input: ModelInput, sampling: Sampling = GREEDY, **how: Any) -> Any:
        try:
            while True:
                how["on_token"]("and ")
                time.sleep(0.01)
        finally:
            self.ended.set()


def test_a_request_that_does_not_arrive_is_given_up(monkeypatch):
    monkeypatch.setattr("engine.serving.server.UPLOAD_S", 0.2)
    with (
        serving(make_app(FakeEngine())) as url,
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as peer,
    ):
        peer.sendall(
            b"POST /v1/report HTTP/1.1\r\nHost: gpu\r\nContent-Encoding: zstd\r\n"
            b"Content-Length: 999\r\n\r\nhalf"
        )
        assert peer.recv(99).startswith(b"HTTP/1.1 408 ")


def figures(url: str) -> dict[str, float]:
    families = text_string_to_metric_families(httpx.get(f"{url}/metrics").text)
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def test_metrics_count_requests_runs_and_tokens(url):
    text = post(url, request()).json()["tokens"]
    post(url, b"noise")
    post(url, b"", path="/nowhere")
    counted = figures(url)
    assert counted["ctscribe_engine_requests_total /v1/report 200"] == 1
    assert counted["ctscribe_engine_requests_total /v1/report 422"] == 1
    assert counted["ctscribe_engine_requests_total other 404"] == 1
    assert counted["ctscribe_engine_request_seconds_count /v1/report"] == 2
    assert counted["ctscribe_engine_batch_size_sum"] == 1
    assert counted["ctscribe_engine_device_seconds_count"] == 1
    assert counted["ctscribe_engine_tokens_total"] == len(text)
    assert counted["ctscribe_engine_requests_in_flight"] == 0
    assert sum(name.startswith("ctscribe_engine_model_info") for name in counted) == 1


def test_abstentions_are_counted():
    with serving(make_app(FakeEngine(abstained="unlike the training images"))) as url:
        post(url, request())
        assert figures(url)["ctscribe_engine_abstentions_total"] == 1


def test_the_log_holds_paths_and_times_and_nothing_of_a_request(url, caplog):
    caplog.set_level("INFO", logger="engine")
    post(url, b"", path="/v1/Müller%5EZoë%0A")
    question = wire.QuestionTask(GREEDY, "Is Müller^Zoë ill?", ())
    post(url, wire.pack(input_for(SPEC), question), path="/v1/ask")
    assert eventually(lambda: "/v1/ask: 200 in" in caplog.text)
    assert eventually(lambda: "other: 404 in" in caplog.text)
    assert "Müller" not in caplog.text
