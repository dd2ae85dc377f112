"""A volume on its way to the engine's server: size and time of several encodings, bit for bit.

The volume is a phantom's model input at the published size. Run `python -m bench.serving`; see
bench/README.md.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import zstandard

from dicom_io.model_input.preprocess import ModelInput, PreprocessSpec, prepare
from dicom_io.phantoms.dicom_study import write_study
from dicom_io.phantoms.phantom import make_phantom
from dicom_io.slices.read import read_study
from dicom_io.volume.series import choose_series
from dicom_io.volume.volume import build_volume
from engine.serving.wire import ReportTask, pack, unpack

Encode, Decode = Callable[[bytes], bytes], Callable[[bytes], bytes]


def a_model_input() -> ModelInput:
    with TemporaryDirectory() as folder:
        stack = choose_series(read_study([write_study(make_phantom(5), Path(folder))])).stack
        return prepare(build_volume(stack), PreprocessSpec(), stack.window)


def planes(raw: bytes) -> bytes:
    """All first bytes of the numbers, then all second ones, and so on."""
    return np.frombuffer(raw, np.uint8).reshape(-1, 4).T.tobytes()


def numbers(raw: bytes) -> bytes:
    return np.frombuffer(raw, np.uint8).reshape(4, -1).T.tobytes()


def timed(call: Callable[[bytes], bytes], argument: bytes) -> tuple[float, bytes]:
    started = time.perf_counter()
    result = call(argument)
    return time.perf_counter() - started, result


def measure(raw: bytes, encode: Encode, decode: Decode, rounds: int) -> dict[str, float]:
    there, back = [], []
    for _ in range(rounds):
        seconds, encoded = timed(encode, raw)
        there.append(seconds)
        seconds, decoded = timed(decode, encoded)
        back.append(seconds)
        assert decoded == raw
    return {
        "of_size": round(len(encoded) / len(raw), 3),
        "encode_s": round(statistics.median(there), 3),
        "decode_s": round(statistics.median(back), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    model_input = a_model_input()
    raw = model_input.pixels.tobytes()
    codecs: dict[str, tuple[Encode, Decode]] = {
        "zstd 1": (lambda b: zstandard.compress(b, 1), zstandard.decompress),
        "zstd 3": (lambda b: zstandard.compress(b, 3), zstandard.decompress),
        "planes, zstd 1": (
            lambda b: zstandard.compress(planes(b), 1),
            lambda b: numbers(zstandard.decompress(b)),
        ),
        "gzip 1": (lambda b: gzip.compress(b, 1), gzip.decompress),
        "the request": (
            lambda _: pack(model_input, ReportTask()),
            lambda b: unpack(b, ReportTask)[0].pixels.tobytes(),
        ),
    }
    results = {name: measure(raw, *codec, rounds) for name, codec in codecs.items()}
    print(json.dumps({"megabytes": len(raw) / 1e6, **results}, indent=2))


if __name__ == "__main__":
    main()
