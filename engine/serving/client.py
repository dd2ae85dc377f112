"""An engine on another host: what `engine.serving.server` serves, as a `ReportEngine`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

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
from engine.serving.wire import QuestionTask, ReportTask, SamplesTask, ServedModel

T = TypeVar("T")

IN_FLIGHT = 8
"""How many reports of a batch are asked for at the same time; the server makes batches of them."""
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0
PROBE_TIMEOUT = httpx.Timeout(5.0)


class RemoteEngine:
    """Draft reports on the host where the model runs.

    A request that found no answer is made again: the same request has the same answer, which the
    server keeps for a while, so that nothing is computed twice.

    Parameters
    ----------
    url : str
        Where the server listens, such as `http://gpu:11180`.
    token : str, optional
        What the server asks for.
    timeout_s : float
        How long an answer may take.
    patience_s : float
        How long to try again while the server is down, full or loses requests.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout_s: float = 600.0,
        patience_s: float = 5.0,
    ):
        self.name = displayable(url)
        self._patience_s = patience_s
        self._client = httpx.Client(
            base_url=url,
            headers={} if token is None else {"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(60.0, connect=5.0, read=timeout_s, pool=None),
        )
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
        """Ask the server, once, whether it can take work, and which model it serves now.

        Raises
        ------
        EngineUnavailable
            It does not answer, refuses the token, or is no engine.
        """
        with self._answer("GET", "/ready", timeout=PROBE_TIMEOUT):
            pass
        with self._answer("GET", "/v1/model", timeout=PROBE_TIMEOUT) as response:
            self._model = wire.unpack_model(_json(response.read()))
        return self._model.identity

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

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
        if on_token is None:
            answer = self._patiently(lambda: self._whole(path, body, headers))
        else:
            headers["Accept"] = wire.LINES
            answer = self._patiently(lambda: self._in_pieces(path, body, headers, on_token))
        try:
            return read(answer)
        except (LookupError, TypeError, ValueError):  # somebody else answered, such as a proxy
            raise EngineUnavailable(f"{self.name} answers what no ctscribe engine does") from None

    def _whole(self, path: str, body: bytes, headers: Mapping[str, str]) -> Any:
        with self._answer("POST", path, content=body, headers=headers) as response:
            return _json(response.read())

    def _in_pieces(
        self, path: str, body: bytes, headers: Mapping[str, str], on_token: OnToken
    ) -> Any:
        begun = False
        try:
            with self._answer("POST", path, content=body, headers=headers) as response:
                for line in map(_json, response.iter_lines()):
                    piece = line.get("piece") if isinstance(line, Mapping) else None
                    if not isinstance(piece, str):
                        return self._last(line)
                    begun = True
                    on_token(piece)
            raise _TryAgain(f"{self.name} ended its answer early")
        except _TryAgain as error:
            if begun:  # a second answer would tell the same pieces again
                raise EngineUnavailable(str(error)) from None
            raise

    def _last(self, line: Any) -> Any:
        if isinstance(line, Mapping) and "result" in line:
            return line["result"]
        raise wire.unpack_error(line) or _TryAgain(f"{self.name} gave no answer")

    def _patiently(self, call: Callable[[], T]) -> T:
        """Make a call again while the server is likely to answer it soon."""
        deadline = time.monotonic() + self._patience_s
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return call()
            except _TryAgain as error:
                wait_s = error.after_s or pause_s
                if time.monotonic() + wait_s > deadline:
                    raise EngineUnavailable(str(error)) from None
            time.sleep(wait_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    @contextmanager
    def _answer(self, method: str, path: str, **request: Any) -> Iterator[httpx.Response]:
        """Make one request; its answer is a success."""
        try:
            with self._client.stream(method, path, **request) as response:
                if not response.is_success:
                    response.read()
                    raise self._refusal(response)
                yield response
        except httpx.ReadTimeout:
            raise EngineUnavailable(f"{self.name} gave no answer in time") from None
        except httpx.HTTPError as error:
            raise _TryAgain(f"{self.name} does not answer: {type(error).__name__}") from None

    def _refusal(self, response: httpx.Response) -> EngineError:
        status = response.status_code
        if status == httpx.codes.UNAUTHORIZED:
            return EngineUnavailable(f"{self.name} refuses the token")
        if status == httpx.codes.PRECONDITION_FAILED:
            self._model = None
            return EngineUnavailable(f"{self.name} serves another model now")
        error = wire.unpack_error(_json(response.content))
        if error is None and not response.is_server_error:
            return EngineUnavailable(f"{self.name} answers {status}: it is no ctscribe engine")
        if error is None or isinstance(error, EngineUnavailable):
            reason = f"answers {status}" if error is None else f"answers: {error}"
            return _TryAgain(f"{self.name} {reason}", _seconds(response.headers.get("Retry-After")))
        return error


class _TryAgain(EngineUnavailable):
    """What may have passed in a moment."""

    def __init__(self, message: str, after_s: float = 0.0):
        super().__init__(message)
        self.after_s = after_s


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
