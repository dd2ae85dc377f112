"""An engine on other hosts: what `engine.serving.server` serves, as a `ReportEngine`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, Protocol, TypeVar

import httpx

from dicom_io.archives.http import displayable
from dicom_io.errors import EngineError, EngineUnavailable
from dicom_io.model_input.preprocess import ModelInput, PreprocessSpec
from engine.protocol import (
    AS_TRAINED,
    Answer,
    Generation,
    ModelIdentity,
    OnToken,
    Sampling,
    require_preprocessing,
)
from engine.serving import wire
from engine.serving.hosts import Host, Hosts
from engine.serving.wire import QuestionTask, ReportTask, SamplesTask, ServedModel

T = TypeVar("T")

IN_FLIGHT = 8
"""How many reports of a batch are asked for at the same time; the server makes batches of them."""
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0
PROBE_TIMEOUT = httpx.Timeout(5.0)
SILENCE_S = 30.0
"""A server that works on a request says so six times as often; longer silence is a dead host."""


class RemoteEngine:
    """Draft reports on the hosts where the model runs.

    A request that found no answer is made again: the same request has the same answer, which the
    server keeps for a while, so that nothing is computed twice. A host that cannot be reached, is
    full or serves another model is passed over while others answer. One that took a request and
    went silent may have died of it: no other host gets the same request at once.

    Parameters
    ----------
    *urls : str
        Where the servers listen, such as `http://gpu:11180`. The first one's model is the model.
    token : str, optional
        What the servers ask for.
    timeout_s : float
        How long an answer may take.
    patience_s : float
        How long to try again while the servers are down, full or lose requests.
    silence_s : float
        After so long without a sign of life an answer is given up.
    """

    def __init__(
        self,
        *urls: str,
        token: str | None = None,
        timeout_s: float = 600.0,
        patience_s: float = 5.0,
        silence_s: float = SILENCE_S,
    ):
        self._patience_s = patience_s
        self._timeout_s = timeout_s
        silence_s = min(silence_s, timeout_s)
        headers = {wire.BEAT: str(silence_s / 6)}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        timeout = httpx.Timeout(silence_s, connect=5.0, pool=None)
        self._hosts = Hosts(
            [
                Host(displayable(url), httpx.Client(base_url=url, headers=headers, timeout=timeout))
                for url in urls
            ]
        )
        self.name = ", ".join(host.name for host in self._hosts.all)
        self._model: ServedModel | None = None

    @property
    def identity(self) -> ModelIdentity:
        """Which model was served when it was last asked; raises `EngineUnavailable`."""
        return self._served().identity

    @property
    def preprocess(self) -> PreprocessSpec:
        """How its input must be prepared; raises `EngineUnavailable`."""
        return self._served().preprocess

    def ask_identity(self) -> ModelIdentity:
        """Ask the servers, once, whether one can take work, and which model it serves now.

        Raises
        ------
        EngineUnavailable
            None answers, or they refuse the token, or are no engines.
        """
        tried: list[Host] = []
        while True:
            host = self._hosts.first(tried)
            tried.append(host)
            try:
                return self._identity_at(host)
            except _Unanswered as error:
                self._hosts.failed(host, str(error))
                if len(tried) == len(self._hosts.all):
                    raise

    def _identity_at(self, host: Host) -> ModelIdentity:
        with self._answer(host, "GET", "/ready", timeout=PROBE_TIMEOUT):
            pass
        with self._answer(host, "GET", "/v1/model", timeout=PROBE_TIMEOUT) as response:
            self._model = wire.unpack_model(_json(response.read()))
        self._hosts.answered(host)
        return self._model.identity

    def close(self) -> None:
        """Close the connections."""
        for host in self._hosts.all:
            host.client.close()

    def report(
        self,
        model_input: ModelInput,
        sampling: Sampling = AS_TRAINED,
        *,
        on_token: OnToken | None = None,
    ) -> Generation:
        """Draft the report of one volume; see `ReportEngine.report`."""
        task = ReportTask(sampling)
        return self._ask("/v1/report", model_input, task, Generation.from_dict, on_token)

    def report_samples(
        self, model_input: ModelInput, count: int, sampling: Sampling
    ) -> tuple[Generation, ...]:
        """Draft one volume's report `count` times; see `ReportEngine.report_samples`."""
        task = SamplesTask(sampling, count)
        return self._ask("/v1/samples", model_input, task, _generations)

    def report_batch(
        self, model_inputs: Sequence[ModelInput], sampling: Sampling = AS_TRAINED
    ) -> tuple[Generation, ...]:
        """Draft the reports of several volumes; see `ReportEngine.report_batch`."""
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            return tuple(
                pool.map(lambda model_input: self.report(model_input, sampling), model_inputs)
            )

    def ask(
        self,
        model_input: ModelInput,
        question: str,
        choices: Sequence[str] = (),
        sampling: Sampling = AS_TRAINED,
        *,
        on_token: OnToken | None = None,
    ) -> Answer:
        """Answer a question about one volume; see `ReportEngine.ask`."""
        task = QuestionTask(sampling, question, tuple(choices))
        return self._ask("/v1/ask", model_input, task, Answer.from_dict, on_token)

    def _served(self) -> ServedModel:
        if self._model is None:
            self._patiently(self.ask_identity)
        assert self._model is not None
        return self._model

    def _ask(
        self,
        path: str,
        model_input: ModelInput,
        task: ReportTask | SamplesTask | QuestionTask,
        read: Callable[[Any], T],
        on_token: OnToken | None = None,
    ) -> T:
        model = self._served()
        require_preprocessing(model_input, model.preprocess)
        headers = {
            "Content-Type": wire.MEDIA_TYPE,
            "Content-Encoding": wire.ENCODING,
            "If-Match": f'"{model.identity.digest}"',
        }
        body = wire.pack(model_input, task)
        post = partial(self._answer, method="POST", path=path, content=body, headers=headers)
        if on_token is None:
            answer = self._patiently(lambda: self._somewhere(partial(self._whole, post)))
        else:
            headers["Accept"] = wire.LINES
            in_pieces = partial(self._in_pieces, post, on_token)
            answer = self._patiently(lambda: self._somewhere(in_pieces))
        try:
            return read(answer)
        except (LookupError, TypeError, ValueError):  # somebody else answered, such as a proxy
            raise EngineUnavailable(f"{self.name} answers what no ctscribe engine does") from None

    def _whole(self, post: Post, host: Host) -> Any:
        deadline = time.monotonic() + self._timeout_s
        with post(host) as response:
            answer = _json(b"".join(self._until(deadline, host, response.iter_bytes())))
        if error := wire.unpack_error(answer):  # one that came after signs of life
            raise _unanswered(host, error)
        return answer

    def _in_pieces(self, post: Post, on_token: OnToken, host: Host) -> Any:
        begun, deadline = False, time.monotonic() + self._timeout_s
        try:
            with post(host) as response:
                lines = self._until(deadline, host, response.iter_lines())
                for line in map(_json, filter(None, lines)):
                    piece = line.get("piece") if isinstance(line, Mapping) else None
                    if not isinstance(piece, str):
                        return _last(host, line)
                    begun = True
                    on_token(piece)
            raise _Unanswered(f"{host.name} ended its answer early", taken=True)
        except _Unanswered as error:
            if begun:  # a second answer would tell the same pieces again
                raise EngineUnavailable(str(error)) from None
            raise

    def _until(self, deadline: float, host: Host, parts: Iterator[T]) -> Iterator[T]:
        """Pass on what a server sends for as long as an answer may take."""
        for part in parts:
            if time.monotonic() > deadline:
                raise _silent(host)
            yield part

    def _patiently(self, call: Callable[[], T]) -> T:
        """Make a call again while it is likely to be answered soon."""
        deadline = time.monotonic() + self._patience_s
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return call()
            except _Unanswered as error:
                wait_s = error.after_s or pause_s
                final = not error.passing or (error.taken and len(self._hosts.all) > 1)
                if final:
                    self._model = None
                if final or time.monotonic() + wait_s > deadline:
                    raise EngineUnavailable(str(error)) from None
            time.sleep(wait_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _somewhere(self, call: Callable[[Host], T]) -> T:
        """Make a call at one host, and at the others in turn unless it was taken."""
        tried: list[Host] = []
        while True:
            host = self._hosts.take(tried)
            tried.append(host)
            try:
                answer = call(host)
            except _Unanswered as error:
                self._hosts.failed(host, str(error), error.after_s)
                if error.taken or len(tried) == len(self._hosts.all):
                    raise
            else:
                self._hosts.answered(host)
                return answer
            finally:
                self._hosts.give(host)

    @contextmanager
    def _answer(
        self, host: Host, method: str, path: str, **request: Any
    ) -> Iterator[httpx.Response]:
        """Make one request; its answer is a success."""
        try:
            with host.client.stream(method, path, **request) as response:
                if not response.is_success:
                    response.read()
                    raise _refusal(host, response)
                yield response
        except httpx.ReadTimeout:
            raise _silent(host, taken=method == "POST") from None
        except httpx.HTTPError as error:
            taken = method == "POST" and not isinstance(error, _NOT_CONNECTED)
            message = f"{host.name} does not answer: {type(error).__name__}"
            raise _Unanswered(message, taken=taken) from None


class Post(Protocol):
    """Makes a request at a host; its answer is a success."""

    def __call__(self, host: Host) -> AbstractContextManager[httpx.Response]: ...


class _Unanswered(EngineUnavailable):
    """What a host did not answer.

    Parameters
    ----------
    message : str
        For a person.
    after_s : float
        When the host wants to be asked again, if it said so.
    passing : bool
        Whether it may answer in a moment.
    taken : bool
        Whether it may have begun to work, and may have failed of it.
    """

    def __init__(
        self, message: str, after_s: float = 0.0, *, passing: bool = True, taken: bool = False
    ):
        super().__init__(message)
        self.after_s = after_s
        self.passing = passing
        self.taken = taken


_NOT_CONNECTED = (httpx.ConnectError, httpx.ConnectTimeout)


def _silent(host: Host, *, taken: bool = True) -> _Unanswered:
    return _Unanswered(f"{host.name} gave no answer in time", passing=False, taken=taken)


def _refusal(host: Host, response: httpx.Response) -> EngineError:
    status = response.status_code
    if status == httpx.codes.UNAUTHORIZED:
        return _Unanswered(f"{host.name} refuses the token", passing=False)
    if status == httpx.codes.PRECONDITION_FAILED:
        return _Unanswered(f"{host.name} serves another model now", passing=False)
    error = wire.unpack_error(_json(response.content))
    if error is not None:
        return _unanswered(host, error, _seconds(response.headers.get("Retry-After")))
    if not response.is_server_error:
        message = f"{host.name} answers {status}: it is no ctscribe engine"
        return _Unanswered(message, passing=False)
    return _Unanswered(f"{host.name} answers {status}", taken=True)


def _unanswered(host: Host, error: EngineError, after_s: float = 0.0) -> EngineError:
    """Tell an engine that cannot take the request now from one that cannot answer it."""
    if isinstance(error, EngineUnavailable):
        return _Unanswered(f"{host.name} answers: {error}", after_s)
    return error


def _last(host: Host, line: Any) -> Any:
    if isinstance(line, Mapping) and "result" in line:
        return line["result"]
    error = wire.unpack_error(line)
    if error is None:
        raise _Unanswered(f"{host.name} gave no answer", taken=True)
    raise _unanswered(host, error)


def _json(content: bytes | str) -> Any:
    """Read JSON; what is none was not written by an engine, and says nothing."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return {}


def _generations(values: Any) -> tuple[Generation, ...]:
    return tuple(map(Generation.from_dict, values))


def _seconds(header: str | None) -> float:
    return float(header) if header is not None and header.isdecimal() else 0.0
