"""An engine on other hosts: what `engine.serving.server` serves, as a `ReportEngine`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Protocol, TypeVar

import httpx

from dicom_io.errors import EngineError, EngineUnavailable
from dicom_io.model_input.preprocess import ModelInput, PreprocessSpec
from engine.judgement.protocol import Assessment, Evidence
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
from engine.serving.calls import (
    PROBE_TIMEOUT,
    Calls,
    Unanswered,
    authorized,
    read_json,
    retry_after_s,
)
from engine.serving.hosts import Host
from engine.serving.wire import (
    ConfidenceTask,
    EvidenceTask,
    QuestionTask,
    ReportTask,
    SamplesTask,
    ServedModel,
)

T = TypeVar("T")

IN_FLIGHT = 8
"""How many reports of a batch are asked for at the same time; the server makes batches of them."""
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
        silence_s = min(silence_s, timeout_s)
        self._calls = Calls(
            urls,
            _refusal,
            headers={wire.BEAT: str(silence_s / 6), **authorized(token)},
            timeout_s=timeout_s,
            patience_s=patience_s,
            silence_s=silence_s,
        )
        self.name = self._calls.name
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
        return self._calls.first_that(self._identity_at)

    def _identity_at(self, host: Host) -> ModelIdentity:
        with self._calls.answer(host, "GET", "/ready", timeout=PROBE_TIMEOUT):
            pass
        with self._calls.answer(host, "GET", "/v1/model", timeout=PROBE_TIMEOUT) as response:
            self._model = wire.unpack_model(read_json(response.read()))
        return self._model.identity

    def close(self) -> None:
        """Close the connections."""
        self._calls.close()

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

    @property
    def can_explain(self) -> bool:
        """Whether the server can say it; raises `EngineUnavailable`."""
        return self._served().can_explain

    def explain(
        self,
        model_input: ModelInput,
        generation: Generation,
        spans: Sequence[tuple[int, int]],
        *,
        within_s: float = float("inf"),
    ) -> tuple[Evidence, ...]:
        """Find the evidence of sentences; see `Explains.explain`. Reports come first there."""
        if not self.can_explain or generation.abstained is not None:
            return ()
        task = EvidenceTask.of(generation, spans, within_s)
        return self._ask("/v1/evidence", model_input, task, partial(_evidence, set(task.spans)))

    @property
    def can_assess(self) -> bool:
        """Whether the server's model is calibrated; raises `EngineUnavailable`."""
        return self._served().can_assess

    def assess(
        self,
        model_input: ModelInput,
        generation: Generation,
        spans: Sequence[tuple[int, int]],
        *,
        within_s: float = float("inf"),
    ) -> Assessment:
        """Say how sure the model is of sentences; see `Assesses.assess`."""
        if not self.can_assess or generation.abstained is not None:
            return Assessment(())
        task = ConfidenceTask.of(generation, spans, within_s)
        return self._ask("/v1/confidence", model_input, task, partial(_assessment, {*task.spans}))

    def _served(self) -> ServedModel:
        if self._model is None:
            self._patiently(self.ask_identity)
        assert self._model is not None
        return self._model

    def _ask(
        self,
        path: str,
        model_input: ModelInput,
        task: wire.AnyTask,
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
        post = partial(self._calls.answer, method="POST", path=path, content=body, headers=headers)
        if on_token is None:
            answer = self._patiently(lambda: self._calls.somewhere(partial(self._whole, post)))
        else:
            headers["Accept"] = wire.LINES
            in_pieces = partial(self._in_pieces, post, on_token)
            answer = self._patiently(lambda: self._calls.somewhere(in_pieces))
        try:
            return read(answer)
        except (LookupError, TypeError, ValueError):  # somebody else answered, such as a proxy
            raise EngineUnavailable(f"{self.name} answers what no ctscribe engine does") from None

    def _whole(self, post: Post, host: Host) -> Any:
        with post(host) as response:
            answer = read_json(b"".join(self._calls.in_time(host, response.iter_bytes())))
        if error := wire.unpack_error(answer):  # one that came after signs of life
            raise _unanswered(host, error)
        return answer

    def _in_pieces(self, post: Post, on_token: OnToken, host: Host) -> Any:
        begun = False
        try:
            with post(host) as response:
                lines = self._calls.in_time(host, response.iter_lines())
                for line in map(read_json, filter(None, lines)):
                    piece = line.get("piece") if isinstance(line, Mapping) else None
                    if not isinstance(piece, str):
                        return _last(host, line)
                    begun = True
                    on_token(piece)
            raise Unanswered(f"{host.name} ended its answer early", taken=True)
        except Unanswered as error:
            if begun:  # a second answer would tell the same pieces again
                raise EngineUnavailable(str(error)) from None
            raise

    def _patiently(self, call: Callable[[], T]) -> T:
        return self._calls.patiently(call, self._forget)

    def _forget(self) -> None:
        self._model = None


class Post(Protocol):
    """Makes a request at a host; its answer is a success."""

    def __call__(self, host: Host) -> AbstractContextManager[httpx.Response]: ...


def _refusal(host: Host, response: httpx.Response) -> EngineError:
    status = response.status_code
    if status == httpx.codes.UNAUTHORIZED:
        return Unanswered(f"{host.name} refuses the token", passing=False)
    if status == httpx.codes.PRECONDITION_FAILED:
        return Unanswered(f"{host.name} serves another model now", passing=False)
    error = wire.unpack_error(read_json(response.content))
    if error is not None:
        return _unanswered(host, error, retry_after_s(response))
    if not response.is_server_error:
        message = f"{host.name} answers {status}: it is no ctscribe engine"
        return Unanswered(message, passing=False)
    return Unanswered(f"{host.name} answers {status}", taken=True)


def _unanswered(host: Host, error: EngineError, after_s: float = 0.0) -> EngineError:
    """Tell an engine that cannot take the request now from one that cannot answer it."""
    if isinstance(error, EngineUnavailable):
        return Unanswered(f"{host.name} answers: {error}", after_s)
    return error


def _last(host: Host, line: Any) -> Any:
    if isinstance(line, Mapping) and "result" in line:
        return line["result"]
    error = wire.unpack_error(line)
    if error is None:
        raise Unanswered(f"{host.name} gave no answer", taken=True)
    raise _unanswered(host, error)


def _generations(values: Any) -> tuple[Generation, ...]:
    return tuple(map(Generation.from_dict, values))


def _evidence(asked: set[tuple[int, int]], values: Any) -> tuple[Evidence, ...]:
    found = tuple(map(Evidence.from_dict, values)) if isinstance(values, list) else None
    if found is None or not asked.issuperset(one.span for one in found):
        raise ValueError("evidence of other sentences")
    return found


def _assessment(asked: set[tuple[int, int]], values: Any) -> Assessment:
    found = Assessment.from_dict(values)
    if not asked.issuperset(one.span for one in found.sentences):
        raise ValueError("confidence in other sentences")
    return found
