"""What travels arrives as it was, and nothing else is taken for it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import save

from dicom_io import errors
from dicom_io.errors import EngineError, EngineUnavailable
from dicom_io.model_input.preprocess import ModelInput, PreprocessSpec
from engine.fake import FakeEngine
from engine.protocol import Sampling
from engine.serving import wire
from engine.serving.wire import QuestionTask, ReportTask, SamplesTask
from tests.engine.conftest import input_for

SPEC = PreprocessSpec(size=(2, 3, 4), companding=((-100.0, 0.0), (250.5, 0.7), (300.0, 1.0)))


def request(**changes: Any) -> bytes:
    """A sound request, with some of its parts replaced; None leaves a part out."""
    model_input = input_for(SPEC)
    parts: dict[str, Any] = {
        "pixels": model_input.pixels,
        "affine_lps": model_input.affine_lps,
        "spec": SPEC.to_dict(),
        "task": asdict(ReportTask()),
        **changes,
    }
    tensors = {name: parts[name] for name in ("pixels", "affine_lps") if parts[name] is not None}
    rest = {name: parts[name] for name in ("spec", "task") if parts[name] is not None}
    return zstandard.compress(save(tensors, {"request": json.dumps(rest)}))


bits = arrays.arrays(
    np.float32,
    (1, 2, 3, 4),
    elements=st.integers(0, 2**32 - 1).map(lambda bits: np.uint32(bits).view(np.float32)),
)


@given(bits)
def test_pixels_arrive_bit_for_bit(pixels):
    sent = ModelInput(pixels, SPEC, np.diag([0.7, np.pi, 5, 1]), ("what was done",))
    arrived, _ = wire.unpack(wire.pack(sent, ReportTask()), ReportTask)
    assert arrived.pixels.tobytes() == pixels.tobytes()
    assert np.array_equal(arrived.affine_lps, sent.affine_lps)
    assert arrived.spec == SPEC


def test_pixels_of_a_view_arrive_in_order():
    pixels = np.arange(24, dtype=np.float32).reshape(1, 4, 3, 2).transpose(0, 3, 2, 1)
    arrived, _ = wire.unpack(
        wire.pack(ModelInput(pixels, SPEC, np.eye(4), ()), ReportTask()), ReportTask
    )
    assert np.array_equal(arrived.pixels, pixels)


@pytest.mark.parametrize(
    "task",
    [
        ReportTask(Sampling(7, temperature=0.3, top_p=0.9, seed=2**62, stop_at_loop=False)),
        SamplesTask(Sampling(temperature=1), 5),
        QuestionTask(Sampling(), "Wo ist die Läsion?", ("links", "rechts ≥ 3 mm")),
    ],
    ids=lambda task: type(task).__name__,
)
def test_what_is_wanted_arrives_as_it_was_said(task):
    _, arrived = wire.unpack(wire.pack(input_for(SPEC), task), type(task))
    assert arrived == task


def test_nothing_but_pixels_their_place_and_the_recipe_travels():
    steps = ("series of Müller^Zoë",)
    sent = ModelInput(input_for(SPEC).pixels, SPEC, np.eye(4), steps)
    content = zstandard.decompress(wire.pack(sent, ReportTask()))
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert sorted(header) == ["__metadata__", "affine_lps", "pixels"]
    assert sorted(json.loads(header["__metadata__"]["request"])) == ["spec", "task"]
    assert "Müller".encode() not in content


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "no zstd frame"),
        (b"GIF89a", "no zstd frame"),
        (zstandard.compress(b"GIF89a"), "no safetensors file"),
        (request()[:-4], "cannot be decompressed"),
        (request() + b"more", "cannot be decompressed"),
        (zstandard.compress(zstandard.decompress(request())[:-1]), "no safetensors file"),
        (zstandard.compress(save({"pixels": np.zeros(1)})), "holds no affine_lps"),
        (request(pixels=None), "holds no pixels"),
        (request(pixels=np.zeros((1, 2, 3, 4))), "pixels must be float32"),
        (request(affine_lps=np.eye(3)), "affine_lps float64 of shape"),
        (request(spec=None), "holds no spec"),
        (request(spec={"size": [2, 3]}), "spec.size"),
        (request(spec={"sizes": [2, 3, 4]}), "spec has unknown keys: sizes"),
        (request(spec="small"), "request's spec: Input should be"),
        (request(task=None), "holds no task"),
        (request(task=[]), "request's task: Input should be"),
        (request(task={"sampling": {"max_new_tokens": "many"}}), "max_new_tokens"),
        (request(task={"sampling": {"max_new_tokens": 0}}), "max_new_tokens"),
        (request(task={"sampling": {"min_p": 0.1}}), "sampling has unknown keys: min_p"),
        (request(task={"question": "where?"}), "unknown keys: question"),
    ],
)
def test_what_is_no_request_is_refused_and_said_why(body, why):
    with pytest.raises(EngineError, match=why):
        wire.unpack(body, ReportTask)


@given(st.binary(max_size=200))
def test_noise_is_refused(noise):
    for body in (noise, zstandard.compress(noise)):
        with pytest.raises(EngineError):
            wire.unpack(body, ReportTask)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_damaged_request_is_refused_or_read_as_another(position, change):
    body = bytearray(zstandard.decompress(request()))
    body[position % len(body)] ^= change
    try:
        arrived, _ = wire.unpack(zstandard.compress(bytes(body)), ReportTask)
    except EngineError:
        return
    assert arrived.pixels.dtype == np.float32


def test_the_size_is_known_before_anything_is_decompressed():
    bomb = zstandard.compress(bytes(10**8))
    assert len(bomb) < 10**5
    assert wire.unpacked_size(bomb) == 10**8
    assert wire.unpacked_size(request()) <= wire.largest_request(SPEC)


def test_a_frame_that_hides_its_size_is_refused():
    hidden = zstandard.ZstdCompressor(write_content_size=False).compress(b"abc")
    with pytest.raises(EngineError, match="states its size"):
        wire.unpack(hidden, ReportTask)


def test_what_a_server_says_of_its_model_survives_json():
    engine = FakeEngine(preprocess=SPEC)
    told = wire.ServedModel(engine.identity, engine.preprocess)
    assert wire.unpack_model(json.loads(json.dumps(wire.pack_model(told)))) == told


@pytest.mark.parametrize("values", [{}, None, "ok", {"identity": {"name": "x"}}])
def test_whoever_says_something_else_is_no_engine(values):
    with pytest.raises(EngineUnavailable, match="no ctscribe engine"):
        wire.unpack_model(values)


@pytest.mark.parametrize(
    "error",
    [
        errors.EngineError("a"),
        errors.PromptTooLong("b"),
        errors.OutOfDeviceMemory("c"),
        errors.EngineUnavailable("d"),
        errors.EngineFault("e"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_arrives_as_the_one_that_was_raised(error):
    arrived = wire.unpack_error(json.loads(json.dumps(wire.pack_error(error))))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)


@pytest.mark.parametrize(
    "values", [None, [], {"error": "KeyError", "message": "x"}, {"detail": "x"}]
)
def test_what_no_engine_said_is_no_error_of_an_engine(values):
    assert wire.unpack_error(values) is None
