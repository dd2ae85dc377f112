"""Compressed frames: decoded exactly, and what ends or hangs a codec costs one frame."""

import base64
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.pixels.encoders import JPEGLSLosslessEncoder
from pydicom.uid import MPEG2MPML, HTJ2KLossless, JPEGExtended12Bit, JPEGLSLossless

from dicom_io.errors import DecoderUnavailable, UnreadableImage, UnsupportedTransferSyntax
from dicom_io.pixel_data import decoder as room
from dicom_io.pixel_data.decoder import LONGEST_S, Decoder
from dicom_io.pixel_data.layout import PixelLayout
from tests.waiting import eventually

LAYOUT = PixelLayout(16, 16, 16, 12, 11, signed=False)
RAMP = np.arange(256, dtype=np.uint16).reshape(16, 16) * 16
# RAMP in codecs that nothing here writes: OpenJPH 0.26, libjpeg-turbo 3 with 12 bits
HTJ2K_RAMP = base64.b64decode(
    "/0//UQApQAAAAAAQAAAAEAAAAAAAAAAAAAAAEAAAABAAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgAB"
    "AAUEBEAB/1wAEyCIkJCQkJCQkJCQkJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAH4A"
    "Af+TwAAmSfYFB3QAAMAAEsAAEwAiAYd0AEbyA4d0AMAAE0AAE4AQyAECdAAe6ZEAw1QAwAAVEAAFYIZhGKpw"
    "gnUAfvTDDz/+wFKB7LYAwAArIAAWkO7u7u7nwKenp8J4AP79/f39/f39/Yxge/Yxgey6AP/Z"
)
JPEG_RAMP = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAEBAQEBAQEBAQEBAQEBAQIBAQEBAQIBAQECAgICAgICAgIDAwQD"
    "AwMDAwICAwQDAwQEBAQEAgMFBQQEBQQEBAT/wQALDAAQABABAREA/8QAFQABAQAAAAAAAAAAAAAAAAAACw7/"
    "xAAcEAAABgMAAAAAAAAAAAAAAAAACQ0pNUhTZHH/2gAIAQEAAD8Anb8ttNxoBhfFW3mmEAC203GgGF8VbeaY"
    "vAAttNxoBhfFW3mmEAC203GgGF8VbeaY/9k="
)


@pytest.fixture
def decoder():
    made = Decoder()
    yield made
    made.close()


def jpeg_ls(values):
    rows, columns = values.shape
    return JPEGLSLosslessEncoder.encode(
        values,
        rows=rows,
        columns=columns,
        number_of_frames=1,
        samples_per_pixel=1,
        bits_allocated=16,
        bits_stored=12,
        pixel_representation=0,
        photometric_interpretation="MONOCHROME2",
    )


def test_htj2k_is_decoded(decoder):
    layout = replace(LAYOUT, bits_stored=16, high_bit=15)
    np.testing.assert_array_equal(decoder.decode(HTJ2K_RAMP, HTJ2KLossless, layout), RAMP)


def test_jpeg_of_twelve_bits_is_decoded(decoder):
    np.testing.assert_array_equal(decoder.decode(JPEG_RAMP, JPEGExtended12Bit, LAYOUT), RAMP)


def test_a_jpeg_that_lost_its_rest_is_refused_although_it_ends_well(decoder):
    lost = JPEG_RAMP[:-20] + b"\xff\xd9"
    with pytest.raises(UnreadableImage, match=r"damaged \(corrupt JPEG\)"):
        decoder.decode(lost, JPEGExtended12Bit, LAYOUT)
    np.testing.assert_array_equal(decoder.decode(JPEG_RAMP, JPEGExtended12Bit, LAYOUT), RAMP)


@pytest.mark.parametrize("padding", [b"\0", b"\0\0", bytes(40), b"\xff", b"\xff\xff"])
def test_a_jpeg_that_is_padded_before_its_end_is_whole(decoder, padding):
    padded = JPEG_RAMP[:-2] + padding + b"\xff\xd9"
    np.testing.assert_array_equal(decoder.decode(padded, JPEGExtended12Bit, LAYOUT), RAMP)


@pytest.mark.parametrize("rest", [bytes(range(9, 15)), bytes(range(1, 20)), bytes(9) + b"\x12"])
def test_what_is_left_over_of_a_scan_is_a_sign_of_damage(decoder, rest):
    with pytest.raises(UnreadableImage, match=r"damaged \(corrupt JPEG\)"):
        decoder.decode(JPEG_RAMP[:-2] + rest + b"\xff\xd9", JPEGExtended12Bit, LAYOUT)


@pytest.mark.parametrize("signed", [False, True])
def test_a_frame_of_fewer_bits_than_its_header_may_hold_is_decoded(decoder, signed):
    stream = jpeg_ls(RAMP)
    layout = replace(LAYOUT, signed=signed)
    wanted = np.where(RAMP >= 2048, RAMP.astype(int) - 4096, RAMP) if signed else RAMP
    np.testing.assert_array_equal(decoder.decode(stream, JPEGLSLossless, layout), wanted)


def test_one_child_decodes_many_frames(decoder):
    decoder.decode(jpeg_ls(RAMP), JPEGLSLossless, LAYOUT)
    first = decoder._child.process.pid
    decoder.decode(jpeg_ls(RAMP), JPEGLSLossless, LAYOUT)
    assert decoder._child.process.pid == first


def test_a_stream_that_ends_the_codec_costs_its_frame_alone(decoder, monkeypatch):
    monkeypatch.setattr(room, "refuse_disagreement", lambda *agree: None)
    larger = replace(LAYOUT, rows=64, columns=64)
    with pytest.raises(UnreadableImage, match="ended the decoder, SIG"):
        decoder.decode(jpeg_ls(np.tile(RAMP, (4, 4))), JPEGLSLossless, replace(larger, rows=65))
    np.testing.assert_array_equal(decoder.decode(jpeg_ls(RAMP), JPEGLSLossless, LAYOUT), RAMP)


def test_a_child_that_was_killed_is_started_again(decoder):
    decoder.decode(jpeg_ls(RAMP), JPEGLSLossless, LAYOUT)
    os.kill(decoder._child.process.pid, signal.SIGKILL)
    decoder._child.process.wait()
    np.testing.assert_array_equal(decoder.decode(jpeg_ls(RAMP), JPEGLSLossless, LAYOUT), RAMP)


def test_a_frame_that_takes_too_long_costs_itself_alone():
    hurried = Decoder(longest_s=0.001)
    large = np.tile(RAMP, (128, 128))
    layout = replace(LAYOUT, rows=2048, columns=2048)
    try:
        for _ in range(2):
            with pytest.raises(UnreadableImage, match="too long"):
                hurried.decode(jpeg_ls(large), JPEGLSLossless, layout)
    finally:
        hurried.close()


def test_a_child_that_is_stopped_is_given_up():
    patient = Decoder(longest_s=0.3)
    try:
        patient.decode(jpeg_ls(RAMP), JPEGLSLossless, LAYOUT)
        os.kill(patient._child.process.pid, signal.SIGSTOP)
        with pytest.raises(UnreadableImage, match="too long"):
            patient.decode(jpeg_ls(RAMP), JPEGLSLossless, LAYOUT)
    finally:
        patient.close()


def test_a_series_that_was_made_to_hang_costs_less_each_time(decoder, monkeypatch):
    monkeypatch.setattr(room, "_SHORTEST_S", 0.02)
    decoder._limit_s = 0.3
    limits = []
    for _ in range(4):
        with decoder._lock:
            decoder._child = decoder._child or room._started()
        os.kill(decoder._child.process.pid, signal.SIGSTOP)
        with pytest.raises(UnreadableImage, match="too long"):
            decoder.decode(jpeg_ls(RAMP), JPEGLSLossless, LAYOUT)
        limits.append(round(decoder._limit_s, 3))
    assert limits == [0.1, 0.033, 0.02, 0.02]
    decoder._limit_s = LONGEST_S / 3
    decoder.decode(jpeg_ls(RAMP), JPEGLSLossless, LAYOUT)
    assert decoder._limit_s == LONGEST_S


@pytest.mark.parametrize("seed", range(8))
def test_damage_after_the_frame_header_never_costs_more_than_the_frame(decoder, seed):
    stream = bytearray(jpeg_ls(np.tile(RAMP, (4, 4))))
    random = np.random.default_rng(seed)
    for at in random.integers(40, len(stream), 20):
        stream[at] = random.integers(256)
    layout = replace(LAYOUT, rows=64, columns=64)
    with suppress(UnreadableImage):
        assert decoder.decode(bytes(stream), JPEGLSLossless, layout).shape == (64, 64)
    np.testing.assert_array_equal(decoder.decode(jpeg_ls(RAMP), JPEGLSLossless, LAYOUT), RAMP)


def test_a_syntax_without_a_codec_is_named(decoder):
    with pytest.raises(UnsupportedTransferSyntax, match="no decoder for MPEG2"):
        decoder.decode(b"", MPEG2MPML, LAYOUT)


def test_a_child_that_does_not_start_is_nobodys_fault_but_ours(decoder, monkeypatch):
    monkeypatch.setattr(room, "_COMMAND", (sys.executable, "-c", "raise SystemExit(3)"))
    with pytest.raises(DecoderUnavailable, match="status 3") as refused:
        decoder.decode(jpeg_ls(RAMP), JPEGLSLossless, LAYOUT)
    assert refused.value.retryable


def test_a_process_that_is_forked_off_has_a_child_of_its_own(decoder):
    decoder.decode(jpeg_ls(RAMP), JPEGLSLossless, LAYOUT)
    ours = decoder._child.process.pid
    forked = subprocess.run([sys.executable, "-P", "-c", _FORK], capture_output=True, check=True)
    first, in_fork, after = map(int, forked.stdout.split())
    assert first == after != in_fork
    assert decoder._child.process.pid == ours


_FORK = """
import os
from pydicom.uid import RLELossless
from dicom_io.pixel_data.decoder import Decoder
from dicom_io.pixel_data.layout import PixelLayout

# one segment of eight bits: a run of four
frame = bytes([1, 0, 0, 0, 64]) + bytes(59) + bytes([253, 7])
layout, decoder = PixelLayout(2, 2, 8, 8, 7, signed=False), Decoder()

def pid():
    assert (decoder.decode(frame, RLELossless, layout) == 7).all()
    return decoder._child.process.pid

print(pid(), flush=True)
if not (child := os.fork()):
    print(pid(), flush=True)
    decoder.close()
    os._exit(0)
os.waitpid(child, 0)
print(pid(), flush=True)
decoder.close()
"""


def test_the_child_ends_with_its_parent():
    child = subprocess.run([sys.executable, "-P", "-c", _ORPHAN], capture_output=True, check=True)
    pid = int(child.stdout)
    eventually(lambda: not Path(f"/proc/{pid}").exists())


_ORPHAN = """
import os
import numpy as np
from pydicom.uid import RLELossless
from dicom_io.pixel_data import decoder
from dicom_io.pixel_data.layout import PixelLayout
decoder.DECODER._child = decoder._started()
print(decoder.DECODER._child.process.pid, flush=True)
os._exit(0)
"""
