"""Several hosts of one engine: load is spread, and what fails is passed over."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from dicom_io.errors import EngineUnavailable, OutOfDeviceMemory
from dicom_io.model_input.preprocess import ModelInput
from engine import load_engine
from engine.fake import FakeEngine
from engine.protocol import GREEDY, Sampling
from engine.serving import hosts, wire
from engine.serving.client import RemoteEngine
from engine.serving.hosts import Host, Hosts
from engine.serving.server import make_app
from tests.engine.conftest import input_for
from tests.engine.servers import closing_client, serving
from tests.ports import free_port
from tests.waiting import eventually
from tests.web import answering

SPEC = FakeEngine().preprocess


class Counting(FakeEngine):
    """Counts its reports."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.reports = 0

    def report(self, model_input: ModelInput, sampling: Sampling = GREEDY, **how: Any) -> Any:
        self.reports += 1
        return super().report(model_input, sampling, **how)


class Other(Counting):
    """Another model with the same recipe."""

    def __init__(self) -> None:
        super().__init__()
        self._identity = replace(self._identity, digest="2" * 64)


@contextmanager
def several(*engines: FakeEngine, **options: Any) -> Iterator[RemoteEngine]:
    """A client of a server around each engine."""
    with ExitStack() as stack:
        urls = [stack.enter_context(serving(make_app(engine, batch=1))) for engine in engines]
        yield stack.enter_context(closing_client(*urls, **options))


def reports(client: RemoteEngine, count: int, threads: int) -> list[str]:
    inputs = [input_for(SPEC, seed) for seed in range(count)]
    with ThreadPoolExecutor(threads) as pool:
        return [generation.text for generation in pool.map(client.report, inputs)]


@contextmanager
def silent() -> Iterator[tuple[str, list[socket.socket]]]:
    """A host that takes requests and never answers, as one without power; who connected."""
    connected: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connected.append(listener.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", connected
        listener.shutdown(socket.SHUT_RDWR)
        for one in connected:
            one.close()


def test_a_request_goes_where_the_fewest_wait():
    three = Hosts([Host(name, httpx.Client()) for name in "abc"])
    taken = [three.take() for _ in range(7)]
    assert [host.waiting for host in three.all] == [3, 2, 2]
    three.give(taken[2])
    assert three.take().name == "c"
    for host in three.all:
        host.client.close()


def test_all_hosts_get_requests():
    engines = [Counting(delay_s=0.1) for _ in range(3)]
    with several(*engines) as client:
        reports(client, 12, threads=6)
    assert all(engine.reports > 0 for engine in engines)
    assert sum(engine.reports for engine in engines) == 12


def test_a_host_that_is_down_is_passed_over_and_comes_back(monkeypatch, caplog):
    monkeypatch.setattr(hosts, "FIRST_OUT_S", 0.1)
    port, up, late = free_port(), Counting(delay_s=0.05), Counting(delay_s=0.05)
    with (
        serving(make_app(up)) as url,
        closing_client(f"http://127.0.0.1:{port}", url, patience_s=0) as client,
    ):
        assert client.ask_identity() == up.identity
        reports(client, 6, threads=3)
        assert up.reports == 6
        assert len([r for r in caplog.records if "left out for now" in r.message]) == 1
        with serving(make_app(late), port):
            assert eventually(lambda: reports(client, 2, threads=2) and late.reports > 0)


def test_a_host_that_is_full_is_passed_over():
    busy = httpx.Response(503, json={"error": "EngineUnavailable", "message": "busy"})
    engine = Counting()
    with (
        answering(lambda _: busy) as full,
        serving(make_app(engine)) as url,
        closing_client(full, url, patience_s=0) as client,
    ):
        reports(client, 3, threads=1)
    assert engine.reports == 3


def test_a_host_with_another_model_is_passed_over():
    ours, other = Counting(delay_s=0.05), Other()
    with several(ours, other, patience_s=0) as client:
        reports(client, 6, threads=3)
    assert (ours.reports, other.reports) == (6, 0)


def test_what_may_have_killed_one_host_is_not_given_to_the_next():
    model = wire.pack_model(wire.ServedModel(FakeEngine().identity, SPEC))
    asked: list[str] = []

    def dies_of_it(request: str) -> httpx.Response:
        if request.endswith(("/ready", "/v1/model")):
            return httpx.Response(200, json=model)
        asked.append(request)
        return httpx.Response(200, content=b"", headers={"Content-Length": "9"})

    with (
        answering(dies_of_it) as first,
        answering(dies_of_it) as second,
        closing_client(first, second) as client,
        pytest.raises(EngineUnavailable, match="does not answer"),
    ):
        client.report(input_for(SPEC))
    assert len(asked) == 1


def test_a_host_that_falls_silent_is_given_up_and_left_out():
    engine = Counting(delay_s=0.5)
    with (
        serving(make_app(engine)) as url,
        silent() as (dead, connected),
        closing_client(url, dead, silence_s=0.6) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        client.ask_identity()
        first = pool.submit(client.report, input_for(SPEC, 1))
        assert eventually(lambda: client._calls.hosts.all[0].waiting == 1)
        started = time.monotonic()
        with pytest.raises(EngineUnavailable, match="no answer in time"):
            client.report(input_for(SPEC, 2))
        assert time.monotonic() - started < 10
        first.result()
        client.report(input_for(SPEC, 2))
    assert len(connected) == 1


@pytest.mark.parametrize("on_token", [None, lambda _: None], ids=["whole", "in pieces"])
def test_a_server_at_work_gives_signs_of_life(on_token):
    engine = FakeEngine(delay_s=1.5)
    with serving(make_app(engine)) as url, closing_client(url, silence_s=0.6) as client:
        assert client.report(input_for(SPEC), on_token=on_token).text
        assert 'status="200"' in httpx.get(f"{url}/metrics").text


@pytest.mark.parametrize("on_token", [None, lambda _: None], ids=["whole", "in pieces"])
def test_an_answer_that_takes_too_long_is_given_up_despite_signs_of_life(on_token):
    engine = FakeEngine(delay_s=3.0)
    with (
        serving(make_app(engine)) as url,
        closing_client(url, silence_s=0.6, timeout_s=1.0) as client,
        pytest.raises(EngineUnavailable, match="no answer in time"),
    ):
        client.report(input_for(SPEC), on_token=on_token)


def test_an_error_after_signs_of_life_is_raised_and_counted_as_one():
    engine = FakeEngine(delay_s=1.0, failure=OutOfDeviceMemory("cuda:0 is full"))
    with serving(make_app(engine)) as url, closing_client(url, silence_s=0.6) as client:
        with pytest.raises(OutOfDeviceMemory, match="cuda:0 is full"):
            client.report(input_for(SPEC))
        counted = 'requests_total{path="/v1/report",status="503"} 1.0'
        assert eventually(lambda: counted in httpx.get(f"{url}/metrics").text)


@pytest.mark.parametrize("beat", ["nan", "-1", "soon", "1e9"])
def test_odd_wishes_for_signs_of_life_are_no_fault(beat):
    with serving(make_app(FakeEngine(delay_s=0.2))) as url, closing_client(url) as client:
        client._calls.hosts.all[0].client.headers[wire.BEAT] = beat
        assert client.report(input_for(SPEC)).text


def requests_a_second(replicas: int, for_each: int = 4) -> float:
    engines: list[Any] = [load_engine("fake:0.5") for _ in range(replicas)]
    with several(*engines) as client:
        client.ask_identity()
        started = time.monotonic()
        reports(client, replicas * for_each, threads=2 * replicas)
        return replicas * for_each / (time.monotonic() - started)


def test_four_hosts_draft_almost_four_times_as_much_as_one():
    """As fast as the machine lets them: the best of some measurements counts."""
    one = max(requests_a_second(1) for _ in range(2))
    rates = {2: 0.0, 4: 0.0}
    for _ in range(4):
        rates = {count: max(rate, requests_a_second(count)) for count, rate in rates.items()}
        if all(rate >= 0.9 * count * one for count, rate in rates.items()):
            return
    pytest.fail(f"requests a second: 1 host {one:.2f}, {rates}")
