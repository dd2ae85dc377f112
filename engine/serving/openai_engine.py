"""A model for images behind an OpenAI-compatible server, such as vLLM, as a `ReportEngine`.

What leaves this host is the pixels of slices, the words of `asking`, and the question. The API is
that of `POST /v1/chat/completions` with `stream`; fields that only some servers know (`top_k`,
`repetition_penalty`) are sent where the service sets them.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from hashlib import sha256
from string import ascii_uppercase
from typing import Any

import httpx
import numpy as np

from dicom_io.errors import EngineError, EngineUnavailable, PromptTooLong
from dicom_io.model_input.preprocess import ModelInput, PreprocessSpec
from engine.inference.loops import end_before_loop
from engine.inference.question import question_prompt
from engine.protocol import (
    AS_TRAINED,
    Answer,
    Choice,
    FinishReason,
    Generation,
    ModelIdentity,
    OnToken,
    Sampling,
    require_preprocessing,
)
from engine.serving.asking import Asking
from engine.serving.calls import (
    PROBE_TIMEOUT,
    Calls,
    Unanswered,
    authorized,
    lines,
    read_json,
    retry_after_s,
)
from engine.serving.client import IN_FLIGHT
from engine.serving.hosts import Host

SCHEME = "openai+"
"""What an URL of such a server begins with in the settings."""

FINISHED: dict[str, FinishReason] = {"stop": "eos", "length": "length"}

ALTERNATIVES = 20
"""How many likely tokens are asked for where choices are weighed: the most that servers give."""

BUSY = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)


@dataclass
class Written:
    """What a server has written so far.

    Parameters
    ----------
    pieces : list of str
        As they arrived.
    tokens, logprobs : list
        As the server told them with the pieces; many servers tell none.
    first : mapping of str to float
        Logarithm of the probability of what the text could have begun with.
    """

    pieces: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    first: Mapping[str, float] = field(default_factory=dict)
    finish_reason: FinishReason | None = None

    def add(self, chunk: Mapping[str, Any], sampling: Sampling) -> str:
        """Take one chunk of the stream; return its piece of the text.

        Raises
        ------
        LookupError, TypeError, ValueError
            It is none.
        """
        choice = chunk["choices"][0]
        for token in (choice.get("logprobs") or {}).get("content") or []:
            if not self.tokens:
                likely = token.get("top_logprobs") or []
                self.first = {one["token"]: float(one["logprob"]) for one in likely}
            self.tokens.append(str(token["token"]))
            self.logprobs.append(float(token["logprob"]))
        if said := choice.get("finish_reason"):
            self.finish_reason = FINISHED[said]
        piece = str((choice.get("delta") or {}).get("content") or "")
        if piece:
            self.pieces.append(piece)
        if sampling.stop_at_loop and (end := end_before_loop(self.pieces)):
            del self.pieces[end:]
            self.finish_reason = "repetition"
        return piece

    def generation(self, identity: ModelIdentity) -> Generation:
        """Return the whole; probabilities only where the tokens that have them spell the text."""
        text = "".join(self.pieces)
        told = "".join(self.tokens) == text and all(p <= 0 for p in self.logprobs)
        return Generation(
            text=text,
            tokens=tuple(self.tokens if told else self.pieces),
            token_ids=(),
            token_logprobs=tuple(self.logprobs) if told else (),
            image_embedding=np.zeros(0, np.float32),
            identity=identity,
            finish_reason=self.finish_reason or "length",
        )


class OpenAIEngine:
    """Let a server that others wrote draft reports from slices.

    Parameters
    ----------
    *urls : str
        Where the servers listen, such as `http://gpu:8000`; `/v1` is added.
    asking : Asking
        How they are asked.
    token : str, optional
        Sent as a bearer token.
    timeout_s, patience_s : float
        As for `engine.serving.client.RemoteEngine`. These servers give no sign of life before the
        first token, so that silence ends after `timeout_s`, too.
    """

    def __init__(
        self,
        *urls: str,
        asking: Asking,
        token: str | None = None,
        timeout_s: float = 600.0,
        patience_s: float = 5.0,
    ):
        self._asking = asking
        self._calls = Calls(
            tuple(url.removeprefix(SCHEME) for url in urls),
            refusal,
            headers=authorized(token),
            timeout_s=timeout_s,
            patience_s=patience_s,
            silence_s=timeout_s,
        )
        self.name = self._calls.name
        self._identity: ModelIdentity | None = None

    @property
    def identity(self) -> ModelIdentity:
        """Which model was served when it was last asked; raises `EngineUnavailable`."""
        if self._identity is None:
            self._calls.patiently(self.ask_identity, self._forget)
        assert self._identity is not None
        return self._identity

    @property
    def preprocess(self) -> PreprocessSpec:
        return self._asking.preprocess

    def ask_identity(self) -> ModelIdentity:
        """Ask the servers, once, whether one answers, and what it says of its model.

        Raises
        ------
        EngineUnavailable
            None answers, or they refuse the token, or are no such servers.
        """
        self._identity = self._calls.first_that(self._identity_at)
        return self._identity

    def _identity_at(self, host: Host) -> ModelIdentity:
        with self._calls.answer(host, "GET", "/v1/models", timeout=PROBE_TIMEOUT) as response:
            listed = read_json(response.read())
        if not isinstance(listed, Mapping) or not isinstance(listed.get("data"), list):
            message = f"{host.name} lists no models: it is no OpenAI-compatible server"
            raise Unanswered(message, passing=False)
        name = self._asking.model
        own = [m for m in listed["data"] if isinstance(m, Mapping) and m.get("id") == name]
        # no server tells a digest of its weights: what can be known is what it says and is asked
        known = [{**asdict(self._asking), "preprocess": None}, own[0].get("root") if own else None]
        digest = sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
        return ModelIdentity(name, "as served", digest, False, (), self._asking.regions)

    def _forget(self) -> None:
        self._identity = None

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
        request = self._request(model_input, self._asking.report, sampling)
        return self._write(request, sampling, on_token).generation(self.identity)

    def report_samples(
        self, model_input: ModelInput, count: int, sampling: Sampling
    ) -> tuple[Generation, ...]:
        """Draft one volume's report `count` times; see `ReportEngine.report_samples`."""
        request = self._request(model_input, self._asking.report, sampling)
        seeds = range(sampling.seed, sampling.seed + count)
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            written = pool.map(lambda s: self._write({**request, "seed": s}, sampling), seeds)
            return tuple(one.generation(self.identity) for one in written)

    def report_batch(
        self, model_inputs: Sequence[ModelInput], sampling: Sampling = AS_TRAINED
    ) -> tuple[Generation, ...]:
        """Draft the reports of several volumes; see `ReportEngine.report_batch`."""
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            return tuple(pool.map(lambda one: self.report(one, sampling), model_inputs))

    def ask(
        self,
        model_input: ModelInput,
        question: str,
        choices: Sequence[str] = (),
        sampling: Sampling = AS_TRAINED,
        *,
        on_token: OnToken | None = None,
    ) -> Answer:
        """Answer a question about one volume; see `ReportEngine.ask`.

        Choices have probabilities where the server tells those of the first token.
        """
        prompt = question_prompt(question, choices)
        if not choices:
            request = self._request(model_input, prompt, sampling)
            return Answer(self._write(request, sampling, on_token).generation(self.identity))
        prompt += " Begin the answer with the letter of the right choice."
        request = self._request(model_input, prompt, sampling)
        request["top_logprobs"] = ALTERNATIVES
        written = self._write(request, sampling, on_token)
        return Answer(written.generation(self.identity), weighed(choices, written.first))

    def _request(
        self, model_input: ModelInput, question: str, sampling: Sampling
    ) -> dict[str, Any]:
        require_preprocessing(model_input, self.preprocess)
        temperature = self._asking.temperature
        optional = {name: getattr(sampling, name) for name in _OPTIONAL}
        return {
            "model": self._asking.model,
            "messages": [{"role": "user", "content": self._content(model_input, question)}],
            "stream": True,
            "logprobs": True,
            "max_tokens": sampling.max_new_tokens,
            "temperature": temperature if sampling.temperature is None else sampling.temperature,
            "seed": sampling.seed,
            **{name: value for name, value in optional.items() if value is not None},
        }

    def _content(self, model_input: ModelInput, question: str) -> list[dict[str, Any]]:
        """Instruction, slices with their captions, and the question last.

        A model that reads nothing after the last image falls back to what it saw most of.
        """
        parts = [_text(self._asking.instruction)] if self._asking.instruction else []
        for number, png in enumerate(self._asking.images(model_input), start=1):
            url = f"data:image/png;base64,{b64encode(png).decode()}"
            parts.append({"type": "image_url", "image_url": {"url": url}})
            if self._asking.caption:
                parts.append(_text(self._asking.caption.replace("{number}", str(number))))
        return [*parts, _text(f"\n\n{question}")]

    def _write(
        self, request: dict[str, Any], sampling: Sampling, on_token: OnToken | None = None
    ) -> Written:
        stream = partial(self._stream, request, sampling, on_token)
        return self._calls.patiently(lambda: self._calls.somewhere(stream), self._forget)

    def _stream(
        self, request: dict[str, Any], sampling: Sampling, on_token: OnToken | None, host: Host
    ) -> Written:
        written = Written()
        try:
            post = self._calls.answer(host, "POST", "/v1/chat/completions", json=request)
            with post as response:
                for chunk in chunks(self._calls.in_time(host, lines(response.iter_bytes()))):
                    piece = _added(written, chunk, sampling, host)
                    if piece and on_token is not None:
                        on_token(piece)
                    if written.finish_reason == "repetition":
                        break  # which closes the connection, and the server stops
            if written.finish_reason is None:
                raise Unanswered(f"{host.name} ended its answer early", taken=True)
        except Unanswered as error:
            if written.pieces and on_token is not None:  # they would be told again
                raise EngineUnavailable(str(error)) from None
            raise
        return written


_OPTIONAL = ("top_p", "top_k", "repetition_penalty")


def weighed(choices: Sequence[str], first: Mapping[str, float]) -> tuple[Choice, ...]:
    """Weigh choices by what the answer could have begun with; none where no letter is likely.

    Parameters
    ----------
    choices : sequence of str
        In the order of their letters.
    first : mapping of str to float
        Token to natural logarithm of its probability.
    """
    chance = dict.fromkeys(ascii_uppercase[: len(choices)], 0.0)
    for token, logprob in first.items():
        if (letter := token.strip().upper()) in chance:
            chance[letter] += float(np.exp(logprob))
    whole = sum(chance.values())
    if whole == 0:
        return ()
    return tuple(
        Choice(letter, text, chance[letter] / whole)
        for letter, text in zip(chance, choices, strict=True)
    )


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def chunks(told: Iterator[str]) -> Iterator[Any]:
    """Read what a stream of server-sent events holds, up to its end."""
    for line in told:
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            return
        if data and line.startswith("data:"):
            yield read_json(data)


def _added(written: Written, chunk: Any, sampling: Sampling, host: Host) -> str:
    if isinstance(chunk, Mapping) and "error" in chunk:
        raise Unanswered(f"{host.name} failed while it wrote", taken=True)
    try:
        return written.add(chunk, sampling) if chunk.get("choices") else ""
    except (LookupError, TypeError, ValueError, AttributeError):
        message = f"{host.name} answers what no OpenAI-compatible server does"
        raise Unanswered(message, passing=False, taken=True) from None


def refusal(host: Host, response: httpx.Response) -> EngineError:
    """Say what an OpenAI-compatible server means by an answer that is no success."""
    status = response.status_code
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return Unanswered(f"{host.name} refuses the token", passing=False)
    if status == httpx.codes.NOT_FOUND:
        return Unanswered(f"{host.name} answers 404: it serves no such model", passing=False)
    if status in BUSY:
        return Unanswered(f"{host.name} answers {status}", retry_after_s(response))
    if response.is_server_error:
        return Unanswered(f"{host.name} answers {status}", taken=True)
    reason = _reason(response)
    kind = PromptTooLong if "context length" in reason else EngineError
    return kind(f"{host.name} refuses the request with {status}{reason}")


def _reason(response: httpx.Response) -> str:
    """What a server says of a request, where it is short: long texts repeat the request."""
    answer = read_json(response.content)
    error = answer.get("error", answer.get("detail")) if isinstance(answer, Mapping) else None
    said = error.get("message") if isinstance(error, Mapping) else error
    return f": {said}" if isinstance(said, str) and len(said) < 300 and said.isprintable() else ""
