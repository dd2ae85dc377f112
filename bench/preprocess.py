"""Model input from a CT volume: ours (`dicom_io.model_input`) against MONAI's transforms.

Both do clip → scale → min–max → crop to foreground → trilinear resize of one int16 volume of
300 × 512 × 512 to 128 × 256 × 256, in turns within one process; then each alone in a process of its
own for the peak of its memory. Run `python -m bench.preprocess`; see bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dicom_io.model_input.preprocess import PreprocessSpec, prepare
from dicom_io.types import Volume

SHAPE = (300, 512, 512)
SPEC = PreprocessSpec(size=(128, 256, 256), window=(40.0, 400.0))
AXIAL_AS_DISPLAYED = np.array([[0, 0, 0.7, 0], [0, 0.7, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1.0]])


def a_torso(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """An ellipse of noisy soft tissue with a spine, in air: int16 HU."""
    rng = np.random.default_rng(0)
    hu = rng.integers(-1020, -980, shape, dtype=np.int16)
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape[1:]), indexing="ij")
    body, spine = (y / 0.6) ** 2 + (x / 0.85) ** 2 < 1, (y - 0.35) ** 2 + x**2 < 0.01
    hu[:, body] += 1040
    hu[:, spine] += 500
    return hu


def ours(hu: np.ndarray) -> np.ndarray:
    return prepare(Volume(hu, AXIAL_AS_DISPLAYED), SPEC).pixels


def by_monai() -> Callable[[np.ndarray], np.ndarray]:
    """MONAI's transforms for the same recipe, composed once, on plain tensors."""
    import torch
    from monai.data import set_track_meta
    from monai.transforms import (
        Compose,
        CropForeground,
        Resize,
        ScaleIntensity,
        ScaleIntensityRange,
    )

    set_track_meta(False)
    low, high = SPEC.window[0] - SPEC.window[1] / 2, SPEC.window[0] + SPEC.window[1] / 2
    transforms = Compose(
        [
            ScaleIntensityRange(low, high, 0.0, 1.0, clip=True),
            ScaleIntensity(),
            CropForeground(),
            Resize(SPEC.size, mode="trilinear"),
        ]
    )
    return lambda hu: transforms(torch.from_numpy(hu)[None]).numpy()


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def compare(rounds: int) -> dict[str, float]:
    """Times of both in turns, and the largest difference of their results."""
    hu, monai = a_torso(), by_monai()
    difference = float(np.abs(ours(hu) - monai(hu)).max())  # also warms both up
    times = [(seconds(lambda: ours(hu)), seconds(lambda: monai(hu))) for _ in range(rounds)]
    mine, theirs = (statistics.median(column) for column in zip(*times, strict=True))
    return {
        "ctscribe_s": round(mine, 4),
        "monai_s": round(theirs, 4),
        "times_faster": round(theirs / mine, 2),
        "least_times_faster": round(min(theirs / mine for mine, theirs in times), 2),
        "largest_difference": difference,
    }


def peak_mib(which: str) -> float:
    """Memory that one call adds to a fresh process that already holds the volume, in MiB."""
    command = [sys.executable, __file__, "--peak-of", which]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def memory_kib(field: str) -> int:
    """VmRSS (now) or VmHWM (highest since `clear_refs`) of this process; Linux."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1])
    raise OSError(f"no {field} in /proc/self/status")


def print_own_peak(which: str) -> None:
    prepare_with = ours if which == "ctscribe" else by_monai()
    hu = a_torso()
    prepare_with(hu[:8])  # libraries load their kernels
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of building the volume
    before = memory_kib("VmRSS")
    prepare_with(hu)
    print((memory_kib("VmHWM") - before) / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peak-of", choices=["ctscribe", "monai"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak_of:
        print_own_peak(arguments.peak_of)
        return
    result = compare(arguments.rounds)
    result |= {f"{which}_peak_mib": round(peak_mib(which)) for which in ("ctscribe", "monai")}
    result["cores"] = os.cpu_count() or 1
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
