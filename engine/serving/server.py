"""An engine as an HTTP server: one model on one device, for many callers."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import socket
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from dicom_io.errors import EngineError, EngineFault, EngineUnavailable, OutOfDeviceMemory
from dicom_io.model_input.preprocess import ModelInput
from engine.inference.question import question_prompt, require_distinct
from engine.protocol import Compiles, OnToken, Reached, ReportEngine, require_preprocessing
from engine.serving import wire
from engine.serving.device_queue import DeviceQueue
from engine.serving.gate import LoadGate, TokenGate
from engine.serving.judging import assesses, explains, judging, looking
from engine.serving.metrics import Result, ServingMetrics
from engine.serving.wire import (
    ConfidenceTask,
    EvidenceTask,
    QuestionTask,
    ReportTask,
    SamplesTask,
    Task,
)

LOGGER = logging.getLogger(__name__)
UPLOAD_S = 60.0
"""A request's body must have arrived in so many seconds."""
LONGEST_RETRY_AFTER_S = 60
SHORTEST_BEAT_S = 0.01
NOT_AT_FAULT = (408, 412)
"""What is refused with these may be accepted another time."""


def make_app(
    engine: ReportEngine,
    *,
    token: str | None = None,
    in_flight: int = 16,
    batch: int = 4,
    at_once: int = 1,
) -> FastAPI:
    """Return the ASGI application that serves an engine.

    Parameters
    ----------
    engine : ReportEngine
        Used by `at_once` threads at a time.
    token : str, optional
        What callers must send; without one only callers on this host are answered.
    in_flight : int
        How many requests may wait or be at work; one more gets 503 and a `Retry-After`.
    batch : int
        How many reports may be drafted together, in one call of the engine.
    at_once : int
        How many calls the engine takes at the same time.
    """
    metrics = ServingMetrics(engine.identity)
    if isinstance(engine, Compiles):  # before anybody is told that it is ready
        engine.warm_up(batch)
        metrics.follow(engine.compilation)
    queue = DeviceQueue(engine, batch=batch, at_once=at_once, observe=metrics.observe_run)
    service = _Service(engine, queue, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        queue.close()

    app = FastAPI(openapi_url=None, lifespan=lifespan)
    app.state.queue = queue
    app.add_middleware(
        LoadGate, limit=in_flight, metrics=metrics, retry_after_s=service.retry_after_s
    )
    app.add_middleware(TokenGate, token=token)
    app.add_exception_handler(EngineError, service.failed)
    app.add_exception_handler(HTTPException, service.refused)
    app.add_api_route("/health", service.health)
    app.add_api_route("/ready", service.ready)
    app.add_api_route("/metrics", service.metrics)
    app.add_api_route("/v1/model", service.model)
    app.add_api_route("/v1/report", service.report, methods=["POST"])
    app.add_api_route("/v1/samples", service.samples, methods=["POST"])
    app.add_api_route("/v1/ask", service.ask, methods=["POST"])
    app.add_api_route("/v1/evidence", service.evidence, methods=["POST"])
    app.add_api_route("/v1/confidence", service.confidence, methods=["POST"])
    return app


def serve(app: FastAPI, host: str, port: int, *, drain_s: int = 60) -> None:
    """Serve until SIGTERM or SIGINT, or the device is broken; then finish what was taken.

    Parameters
    ----------
    app : FastAPI
        As `make_app` gives it.
    host, port : str, int
        Where to listen; port 0 takes a free one.
    drain_s : int
        How long the requests in flight may take to finish.

    Raises
    ------
    EngineError
        Nobody can listen there, or the device is broken and wants a new process.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise EngineError(f"cannot listen at {host}:{port}: {error.strerror}") from error
    with listener:
        LOGGER.info("the engine listens at %s:%d", *listener.getsockname()[:2])
        config = uvicorn.Config(
            app,
            http="h11",  # httptools takes headers of any length, also from who has no token
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=drain_s,
        )
        server = uvicorn.Server(config)
        app.state.queue.on_broken = lambda: setattr(server, "should_exit", True)
        server.run(sockets=[listener])
        LOGGER.info("the engine has finished what it had taken")
        app.state.queue.require_device()


class _Service:
    """The handlers of every path."""

    def __init__(self, engine: ReportEngine, queue: DeviceQueue, metrics: ServingMetrics):
        self._engine = engine
        self._queue = queue
        self._metrics = metrics
        self._limit = wire.largest_request(engine.preprocess)

    async def health(self) -> Response:
        """The process answers."""
        return Response("ok\n")

    async def ready(self) -> Response:
        """The model can write."""
        self._queue.require_device()
        if isinstance(self._engine, Reached):
            await run_in_threadpool(self._engine.ask_identity)
        return Response("ok\n")

    async def metrics(self) -> Response:
        """Every figure, for Prometheus."""
        return Response(self._metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    async def model(self) -> Response:
        """Which model this is, and how its input must be prepared."""
        engine = self._engine
        judges = explains(engine) is not None, assesses(engine) is not None
        served = wire.ServedModel(engine.identity, engine.preprocess, *judges)
        return _json(wire.pack_model(served))

    async def report(self, request: Request) -> Response:
        """One report."""
        return await self._answer(request, ReportTask)

    async def samples(self, request: Request) -> Response:
        """Several reports of one volume."""
        return await self._answer(request, SamplesTask)

    async def ask(self, request: Request) -> Response:
        """The answer to a question."""
        return await self._answer(request, QuestionTask)

    async def evidence(self, request: Request) -> Response:
        """Where sentences of a report come from."""
        return await self._answer(request, EvidenceTask)

    async def confidence(self, request: Request) -> Response:
        """How sure the model is of sentences of a report."""
        return await self._answer(request, ConfidenceTask)

    def retry_after_s(self) -> int:
        """How long the device takes for what it runs, as the last run says."""
        return min(math.ceil(self._queue.seconds), LONGEST_RETRY_AFTER_S)

    async def failed(self, _: Request, error: Exception) -> Response:
        """Tell a caller why the engine did not answer."""
        if not isinstance(error, EngineError):
            raise error
        headers = {}
        if isinstance(error, EngineUnavailable):
            headers["Retry-After"] = str(self.retry_after_s())
        return _json(wire.pack_error(error), _status(error), headers)

    async def refused(self, _: Request, error: Exception) -> Response:
        """Tell a caller why the request is refused."""
        if not isinstance(error, HTTPException):
            raise error
        kind = EngineUnavailable if error.status_code in NOT_AT_FAULT else EngineError
        return _json(wire.pack_error(kind(error.detail)), error.status_code)

    async def _answer(self, request: Request, kind: type[Task]) -> Response:
        self._require_model(request)
        body = await _body(request, self._limit)
        key, model_input, task = await run_in_threadpool(self._read, body, kind)
        beat_s = _beat_s(request)
        if wire.LINES in request.headers.get("accept", ""):
            lines = _lines(lambda on_token: self._start(key, model_input, task, on_token), beat_s)
            return StreamingResponse(lines, media_type=wire.LINES)
        answer = asyncio.wrap_future(self._start(key, model_input, task, None))
        if beat_s is not None and not (await asyncio.wait([answer], timeout=beat_s))[0]:
            late = self._late(request, answer, beat_s)
            return StreamingResponse(late, media_type="application/json")
        return _json(_plain(await answer))

    async def _late(
        self, request: Request, answer: asyncio.Future[Any], beat_s: float
    ) -> AsyncIterator[bytes]:
        """Give empty lines, which JSON allows before a value, until there is an answer."""
        try:
            yield b"\n"
            while not (await asyncio.wait([answer], timeout=beat_s))[0]:
                yield b"\n"
            yield _line(_plain(answer.result()))
        except EngineError as error:
            request.state.status = _status(error)  # for the metrics: the caller has a success
            yield _line(wire.pack_error(error))
        finally:
            answer.cancel()  # the caller has gone: what nobody else waits for leaves the line

    def _require_model(self, request: Request) -> None:
        """Refuse a request for another model (RFC 9110 13.1.1)."""
        wanted = request.headers.get("if-match")
        if wanted not in (None, f'"{self._engine.identity.digest}"'):
            raise HTTPException(412, "another model is served here now")

    def _read(self, body: bytes, kind: type[Task]) -> tuple[str, ModelInput, Task]:
        if wire.unpacked_size(body) > self._limit:
            raise HTTPException(413, f"a request must not hold more than {self._limit} bytes")
        model_input, task = wire.unpack(body, kind)
        if isinstance(task, QuestionTask):
            question_prompt(task.question, task.choices)
            require_distinct(task.choices)
        require_preprocessing(model_input, self._engine.preprocess)
        return f"{kind.__name__} {sha256(body).hexdigest()}", model_input, task

    def _start(
        self,
        key: str,
        model_input: ModelInput,
        task: wire.AnyTask,
        on_token: OnToken | None,
    ) -> Future[Any]:
        run: Callable[[], Result]
        engine = self._engine
        match task:
            case EvidenceTask(within_s=within_s):
                return self._queue.aside(key, looking(engine, model_input, task), within_s)
            case ConfidenceTask():
                run = judging(engine, model_input, task)
            case ReportTask(sampling) if on_token is None:
                return self._queue.report(key, model_input, sampling)
            case ReportTask(sampling):
                run = partial(engine.report, model_input, sampling, on_token=on_token)
            case SamplesTask(sampling, count):
                run = partial(engine.report_samples, model_input, count, sampling)
            case QuestionTask(sampling, question, choices):
                asked = (model_input, question, choices, sampling)
                run = partial(engine.ask, *asked, on_token=on_token)
        return self._queue.call(key, run, shared=on_token is None)


async def _body(request: Request, limit: int) -> bytes:
    """Read a request's body, never more than the model's input can need."""
    if request.headers.get("content-encoding") != wire.ENCODING:
        raise HTTPException(415, f"a request must be {wire.MEDIA_TYPE} encoded as {wire.ENCODING}")
    limit += limit // 128 + 1024  # what zstd adds to bytes that it cannot compress
    chunks, size = [], 0
    try:
        async with asyncio.timeout(UPLOAD_S):
            async for chunk in request.stream():
                chunks.append(chunk)
                size += len(chunk)
                if size > limit:
                    raise HTTPException(413, f"a request must not be over {limit} bytes")
    except TimeoutError:
        raise HTTPException(408, f"the request took over {UPLOAD_S:.0f} s to arrive") from None
    return b"".join(chunks)


def _beat_s(request: Request) -> float | None:
    """How often the caller wants to hear of a request that is at work; None where it does not."""
    try:
        seconds = float(request.headers[wire.BEAT])
    except (KeyError, ValueError):
        return None
    return seconds if SHORTEST_BEAT_S <= seconds <= UPLOAD_S else None


async def _lines(
    start: Callable[[OnToken], Future[Any]], beat_s: float | None
) -> AsyncIterator[bytes]:
    """Give each piece of the text as it is written, then the whole result or the error."""
    loop, gone = asyncio.get_running_loop(), threading.Event()
    told: asyncio.Queue[bytes | None] = asyncio.Queue()

    def tell(piece: str) -> None:
        if gone.is_set():
            raise EngineUnavailable("the caller has gone")
        loop.call_soon_threadsafe(told.put_nowait, _line({"piece": piece}))

    try:
        future = start(tell)
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(told.put_nowait, None))
        while (line := await _next_or_beat(told, beat_s)) is not None:
            yield line
        yield _line({"result": _plain(future.result())})
    except EngineError as error:
        yield _line(wire.pack_error(error))
    finally:
        gone.set()  # the model stops at its next token


async def _next_or_beat(told: asyncio.Queue[bytes | None], beat_s: float | None) -> bytes | None:
    """Return the next line, or an empty one when nothing came for so long."""
    try:
        async with asyncio.timeout(beat_s):
            return await told.get()
    except TimeoutError:
        return b"\n"


def _status(error: EngineError) -> int:
    if isinstance(error, EngineUnavailable | OutOfDeviceMemory):
        return 503
    return 500 if isinstance(error, EngineFault) else 422


def _plain(result: Result) -> Any:
    if isinstance(result, tuple):
        return [one.to_dict() for one in result]
    return result.to_dict()


def _json(values: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer in JSON as Python writes it: a logarithm may be infinite, a key no valid Unicode."""
    return Response(json.dumps(values), status, headers, media_type="application/json")


def _line(values: Any) -> bytes:
    return json.dumps(values).encode() + b"\n"
