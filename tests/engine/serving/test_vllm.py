"""What a vLLM server is asked, and what becomes of answers that real ones give too rarely to test.

`tests/engine/test_protocol.py` asks a real one.
"""

from __future__ import annotations

import io
import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dicom_io.errors import EngineError, EngineUnavailable, PromptTooLong
from engine.checkpoints.checkpoint import Checkpoint, save_checkpoint
from engine.checkpoints.decoding import Decoding
from engine.protocol import Sampling
from engine.serving.calls import Calls, authorized
from engine.serving.openai_engine import refusal
from engine.serving.vllm import VllmGenerator, vllm_engine
from tests.engine import nv_reason
from tests.engine.conftest import input_for
from tests.engine.servers import remote, serving
from tests.ports import free_port

PROMPT = torch.arange(6.0).reshape(3, 2)
HOW = Decoding(ends=frozenset({1, 9}))
PLAIN = Sampling(max_new_tokens=5)


def chunk(*ids: int, **more: Any) -> str:
    told = {"token_logprobs": [-0.5] * len(ids)}
    choice = {"text": "", "token_ids": list(ids), "logprobs": told, **more}
    return f"data: {json.dumps({'choices': [choice]}, ensure_ascii=False)}\n\n"


@dataclass
class Server:
    """Answers in turn; the last answer stays. Keeps what it was asked."""

    answers: list[Response]
    asked: list[dict[str, Any]] = field(default_factory=list)
    name: str = "ours"

    async def complete(self, request: Request) -> Response:
        self.asked.append(await request.json())
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def list(self, request: Request) -> Response:
        return JSONResponse({"data": [{"id": self.name}]})


@contextmanager
def answering(
    *answers: Response | str, patience_s: float = 0.1
) -> Iterator[tuple[VllmGenerator, Server]]:
    server = Server([a if isinstance(a, Response) else Response(a) for a in answers])
    paths = [
        Route("/v1/completions", server.complete, methods=["POST"]),
        Route("/v1/models", server.list),
    ]
    with serving(Starlette(routes=paths)) as url:
        waits = {"timeout_s": 60.0, "patience_s": patience_s, "silence_s": 60.0}
        with closing(Calls((url,), refusal, headers=authorized("t"), **waits)) as calls:
            yield VllmGenerator(calls, "ours", HOW), server


def written(generator: VllmGenerator, sampling: Sampling = PLAIN, **more: Any) -> Any:
    [text] = generator.write(generator.read([PROMPT]), sampling, **more)
    return text


def test_embeddings_and_how_tokens_are_chosen_are_all_that_is_sent() -> None:
    with answering(chunk(4, 1)) as (generator, server):
        written(generator, Sampling(max_new_tokens=5, temperature=0.5, top_p=0.9, seed=7))
    [asked] = server.asked
    sent = torch.load(io.BytesIO(b64decode(asked.pop("prompt_embeds"))), weights_only=True)
    assert torch.equal(sent, PROMPT)
    assert asked == {
        "model": "ours",
        "max_tokens": 5,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 0,
        "stop_token_ids": [1, 9],
        "ignore_eos": True,
        "logprobs": 0,
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
        "seed": 7,
        "stream": True,
    }


def test_a_text_ends_with_a_token_of_the_checkpoint() -> None:
    with answering(chunk(4, 5) + chunk(9)) as (generator, _):
        text = written(generator)
    assert (text.ids, text.logprobs, text.finish_reason) == ((4, 5), (-0.5, -0.5), "eos")


def test_a_text_that_only_repeats_itself_is_cut_off() -> None:
    with answering(chunk(7) + chunk(*[4, 5] * 40)) as (generator, _):
        text = written(generator, Sampling(max_new_tokens=200))
    assert (text.ids, text.finish_reason) == ((7, 4, 5), "repetition")


def test_samples_have_seeds_of_their_own() -> None:
    with answering(chunk(4, 1)) as (generator, server):
        prefix = generator.read([PROMPT, PROMPT])
        generator.write(prefix, PLAIN, samples=2, seeds=[10, 20])
    assert sorted(asked["seed"] for asked in server.asked) == [10, 11, 20, 21]


def test_characters_that_some_call_the_end_of_a_line_are_none() -> None:
    with answering(chunk(4, text="a\u2028b\x85c") + chunk(1)) as (generator, _):
        assert written(generator).ids == (4,)


def test_pieces_are_told_once_and_a_text_that_breaks_off_is_no_text() -> None:
    told: list[int] = []
    with (
        answering(chunk(4, 5), chunk(4, 5, 1), patience_s=30) as (generator, server),
        pytest.raises(EngineUnavailable, match="ended its answer early"),
    ):
        written(generator, on_token=told.append)
    assert told == [4, 5]
    assert len(server.asked) == 1


def test_a_text_that_nobody_heard_of_is_asked_for_again() -> None:
    with answering(chunk(4, 5), chunk(4, 5, 1), patience_s=30) as (generator, server):
        assert written(generator).ids == (4, 5)
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("answer", "kind", "why"),
    [
        (Response('{"error":{"message":"The model `ours` does not exist."}}', 404),
         EngineUnavailable, "serves no such model"),
        (Response("{}", 401), EngineUnavailable, "refuses the token"),
        (Response("{}", 503), EngineUnavailable, "503"),
        (Response('{"error":{"message":"maximum context length is 64 tokens"}}', 400),
         PromptTooLong, "maximum context length"),
        (Response('{"error":{"message":"hidden_size 63"}}', 400), EngineError, "hidden_size 63"),
        ('data: {"error": {"message": "EngineCore"}}\n\n', EngineUnavailable, "failed while"),
        ('data: {"choices": [{"text": "no ids"}]}\n\n', EngineUnavailable, "what no vLLM server"),
        ("<html>", EngineUnavailable, "ended its answer early"),
    ],
)  # fmt: skip
def test_what_is_no_text_is_an_error_that_says_so(
    answer: Response | str, kind: type[EngineError], why: str
) -> None:
    with answering(answer) as (generator, _), pytest.raises(kind, match=why):
        written(generator)


def test_choices_are_weighed_by_the_tokens_that_they_begin_with() -> None:
    told = {"token_id:4": -2.0, "token_id:5": -1.0, "token_id:6": -9999.0}
    answer = {"choices": [{"logprobs": {"top_logprobs": [told]}}]}
    with answering(JSONResponse(answer)) as (generator, server):
        weights, none = generator.weigh(generator.read([PROMPT, PROMPT]), [[5, 4], []])
    assert weights == pytest.approx(torch.tensor([-1.0, -2.0]).softmax(0).tolist())
    assert none == []
    [asked] = server.asked
    assert (asked["logprob_token_ids"], asked["max_tokens"]) == ([5, 4], 1)


def test_a_server_of_another_model_is_not_ready() -> None:
    with answering("") as (generator, server):
        generator.require_ready()
        server.name = "theirs"
        with pytest.raises(EngineUnavailable, match="does not serve ours"):
            generator.require_ready()


def test_while_it_is_down_the_engine_says_so_and_no_study_is_lost(folder: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with vllm_engine(folder, url, device="cpu", patience_s=0.1) as engine:
        with pytest.raises(EngineUnavailable, match="does not answer"):
            engine.ask_identity()
        with remote(engine) as client:
            with pytest.raises(EngineUnavailable, match="does not answer"):
                client.ask_identity()
            with pytest.raises(EngineUnavailable, match="does not answer"):
                client.report(input_for(engine.preprocess), PLAIN)


def test_a_penalty_of_the_checkpoint_is_left_out_and_every_draft_says_so(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    how = Decoding(repetition_penalty=1.2)
    save_checkpoint(replace(checkpoint, decoding=how), tmp_path / "own")
    with vllm_engine(tmp_path / "own", "http://127.0.0.1:1", device="cpu") as engine:
        assert engine.identity.version == "1 (no repetition penalty)"


def test_a_penalty_that_is_asked_for_is_refused() -> None:
    with answering("") as (generator, server), pytest.raises(EngineError, match="no repetition"):
        written(generator, Sampling(max_new_tokens=5, repetition_penalty=1.3))
    assert server.asked == []


def test_the_layers_are_left_out(folder: Path) -> None:
    with vllm_engine(folder, "http://127.0.0.1:1", device="cpu") as engine:
        names = [name for name, _ in engine._model.named_parameters()]  # type: ignore[attr-defined]
    assert not [name for name in names if "layers" in name or "lm_head" in name]


def test_a_language_model_that_vllm_is_not_given_is_refused(tmp_path: Path) -> None:
    folder = nv_reason.write_folder(tmp_path)
    with (
        pytest.raises(EngineError, match="can be exported"),
        vllm_engine(folder, "http://127.0.0.1:1", device="cpu"),
    ):
        pass
