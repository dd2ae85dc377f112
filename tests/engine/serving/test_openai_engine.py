"""A server that others wrote: what it is asked, and what its answers become."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from starlette.responses import JSONResponse, Response

from dicom_io.errors import EngineError, EngineUnavailable, PromptTooLong
from dicom_io.model_input.preprocess import ModelInput, prepare
from dicom_io.types import Volume
from engine.protocol import Sampling
from engine.serving.asking import Asking
from engine.serving.openai_engine import OpenAIEngine, weighed
from tests.engine.openai_server import DONE, answering, chunk, scored
from tests.ports import free_port
from tests.waiting import eventually

AXIAL = np.diag([0.8, 0.8, -3.0, 1.0])[:, [2, 1, 0, 3]]
WINDOWS = ((0.0, 2048.0), (40.0, 350.0), (40.0, 80.0))
ASKING = Asking(
    model="m",
    slices=3,
    windows=WINDOWS,
    report="Write.",
    instruction="Hi",
    caption="S {number}",
    regions=("chest",),
)


serving = partial(answering, asking=ASKING)


def model_input(asking: Asking = ASKING, seed: int = 0) -> ModelInput:
    hu = np.random.default_rng(seed).integers(-1500, 2500, (7, 40, 50)).astype(np.int16)
    return prepare(Volume(hu, AXIAL), asking.preprocess)


def test_nothing_but_pixels_and_words_leaves_the_host():
    with serving(chunk("No.") + DONE, token="t") as (engine, server):
        engine.report(model_input(), Sampling(max_new_tokens=9))
    [asked] = server.asked
    [message] = asked.pop("messages")
    assert asked == {
        "model": "m",
        "stream": True,
        "logprobs": True,
        "max_tokens": 9,
        "temperature": 0.0,
        "seed": 0,
    }
    texts = [part["text"] for part in message["content"] if part["type"] == "text"]
    assert texts == ["Hi", "S 1", "S 2", "S 3", "\n\nWrite."]
    urls = [part["image_url"]["url"] for part in message["content"] if part["type"] != "text"]
    pngs = [
        Image.open(BytesIO(b64decode(url.removeprefix("data:image/png;base64,")))) for url in urls
    ]
    assert [(png.size, png.info) for png in pngs] == [((50, 40), {})] * 3
    known = {"host", "accept", "accept-encoding", "connection", "user-agent", "authorization",
             "content-length", "content-type"}  # fmt: skip
    assert server.headers[0].keys() == known
    assert server.headers[0]["authorization"] == "Bearer t"


def test_a_text_comes_in_pieces_with_the_probabilities_that_the_server_tells():
    told: list[str] = []
    with serving(scored("No ", -0.1) + scored("ascites.", -0.2) + DONE) as (engine, _):
        generation = engine.report(model_input(), on_token=told.append)
    assert told == ["No ", "ascites."]
    assert (generation.text, generation.finish_reason) == ("No ascites.", "eos")
    assert generation.tokens == ("No ", "ascites.")
    assert generation.token_logprobs == (-0.1, -0.2)
    assert (generation.identity.name, generation.identity.version) == ("m", "as served")
    assert generation.identity.regions == ("chest",)


def test_a_text_without_probabilities_has_none():
    with serving(chunk("No ") + chunk("ascites.") + DONE) as (engine, _):
        generation = engine.report(model_input())
    assert (generation.tokens, generation.token_logprobs) == (("No ", "ascites."), ())


def test_probabilities_of_other_words_than_the_text_are_not_told():
    other = chunk("é", logprobs={"content": [{"token": "\\xc3", "logprob": -0.1}]})
    with serving(other + DONE) as (engine, _):
        assert engine.report(model_input()).token_logprobs == ()


def test_a_text_that_was_cut_off_says_so():
    with serving(chunk("No") + chunk(finish="length")) as (engine, _):
        assert engine.report(model_input()).finish_reason == "length"


def test_a_text_that_only_repeats_itself_is_ended():
    with serving("".join([chunk("so"), chunk(" on")] * 40) + DONE) as (engine, _):
        generation = engine.report(model_input())
    assert (generation.text, generation.finish_reason) == ("so on", "repetition")


def test_choices_are_weighed_by_the_first_token():
    first = scored("B", -0.2, B=math.log(0.6), A=math.log(0.2), no=-5.0)
    with serving(first + DONE) as (engine, server):
        answer = engine.ask(model_input(), "Is it?", ["yes", "no"])
    assert [round(choice.probability, 3) for choice in answer.choices] == [0.25, 0.75]
    assert "Is it? Choices: A. yes B. no" in server.asked[0]["messages"][0]["content"][-1]["text"]
    assert server.asked[0]["top_logprobs"] == 20


def test_choices_of_which_none_is_likely_are_not_weighed():
    assert weighed(["yes", "no"], {"The": -0.1}) == ()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_passes_is_tried_again(status):
    busy = Response(status_code=status, headers={"Retry-After": "0"})
    with serving(busy, busy, chunk("No.") + DONE) as (engine, _):
        assert engine.report(model_input()).text == "No."


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Response(status_code=401), "refuses the token"),
        (Response(status_code=404), "no such model"),
        (Response(chunk("No")), "ended its answer early"),
        (Response('data: {"error": "out of memory"}\n\n'), "failed while it wrote"),
        (Response('data: {"choices": [{"finish_reason": "odd"}]}\n\n'), "no OpenAI-compatible"),
        (Response("data: [1]\n\n"), "no OpenAI-compatible"),
    ],
)
def test_an_answer_that_is_none_makes_studies_wait(answer, says):
    with (
        serving(answer, patience_s=0.1) as (engine, _),
        pytest.raises(EngineUnavailable, match=says),
    ):
        engine.report(model_input())


@pytest.mark.parametrize(
    ("message", "error"),
    [("no such field", EngineError), ("maximum context length is 64", PromptTooLong)],
)
def test_a_refused_request_is_the_requests_fault(message, error):
    refused = JSONResponse({"error": {"message": message}}, 400)
    with serving(refused) as (engine, _), pytest.raises(error, match=message):
        engine.report(model_input())


def test_pieces_that_were_told_are_not_told_again():
    told: list[str] = []
    with (
        serving(chunk("No "), chunk("No.") + DONE) as (engine, _),
        pytest.raises(EngineUnavailable),
    ):
        engine.report(model_input(), on_token=told.append)
    assert told == ["No "]


def test_another_server_is_told_from_this_kind():
    with serving("") as (engine, server):
        server.models = {"status": "ok"}
        with pytest.raises(EngineUnavailable, match="lists no models"):
            engine.ask_identity()


def test_the_digest_changes_with_what_is_served():
    with serving("") as (engine, server):
        before = engine.ask_identity().digest
        server.models["data"][0]["created"] = 5
        assert engine.ask_identity().digest == before
        server.models["data"][0]["root"] = "other weights"
        assert engine.ask_identity().digest != before


def test_a_server_that_is_down_is_unavailable():
    down = OpenAIEngine(f"http://127.0.0.1:{free_port()}", asking=ASKING, patience_s=0.1)
    with closing(down) as engine, pytest.raises(EngineUnavailable, match="ConnectError"):
        engine.ask_identity()


@pytest.fixture(scope="module")
def tiny_gemma(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Any, str]]:
    """`transformers serve` with a MedGemma of a few thousand weights: folder, model, URL."""
    from tests.engine.tiny_gemma import save_tiny_gemma

    folder, port = tmp_path_factory.mktemp("gemma"), free_port()
    model = save_tiny_gemma(folder)
    (folder / "home" / "hub").mkdir(parents=True)
    environment = {**os.environ, "HF_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(folder),
               "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        url = f"http://127.0.0.1:{port}"
        try:
            assert eventually(lambda: _is_up(url), 90)
            yield folder, model, url
        finally:
            process.terminate()
            process.wait(30)


def _is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").is_success
    except httpx.HTTPError:
        return False


def by_generate(folder: Path, model: Any, asking: Asking, question: str) -> str:
    """The text that transformers' own `generate` writes from the same images and words."""
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(folder)
    content: list[dict[str, Any]] = [{"type": "text", "text": asking.instruction}]
    for i, png in enumerate(asking.images(model_input(asking)), start=1):
        content.append({"type": "image", "image": Image.open(BytesIO(png))})
        content.append({"type": "text", "text": f"S {i}"})
    content.append({"type": "text", "text": f"\n\n{question}"})
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=True, return_dict=True, return_tensors="pt"
    )
    ids = model.generate(**inputs, max_new_tokens=30, do_sample=False)
    written: str = processor.decode(
        ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True
    )
    return written


@pytest.mark.slow
def test_a_real_server_writes_what_generate_writes(tiny_gemma):
    folder, model, url = tiny_gemma
    asking = replace(ASKING, model=str(folder))
    sampling, told = Sampling(max_new_tokens=30, stop_at_loop=False), []
    with closing(OpenAIEngine(f"openai+{url}", asking=asking)) as engine:
        generation = engine.report(model_input(asking), sampling, on_token=told.append)
        answer = engine.ask(model_input(asking), "Is it large?", sampling=sampling)
    assert generation.text == "".join(told) == by_generate(folder, model, asking, "Write.")
    assert len(set(generation.text)) > 3
    assert (generation.finish_reason, generation.token_logprobs) == ("length", ())
    assert answer.generation.text == by_generate(folder, model, asking, "Is it large?")
    assert answer.generation.text != generation.text
