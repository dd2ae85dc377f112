"""Studies a minute of one worker with the embedded model, before and after, in turns in one run.

`--before REV` is checked out into a temporary folder. Each side drafts in a process of its own,
from the files of a study to the encoded report object: `python -m bench.throughput --before REV`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

# What the pipeline calls by these names in every revision; the rest is the rest
STEPS = {
    "read_study": "read the headers",
    "choose_series": "choose the series",
    "build_volume": "build the volume",
    "build_first": "build the volume",
    "series_window": "find the window",
    "prepare": "prepare the model's input",
    "draft_of": "make the draft",
    "build_sr": "make the report object",
}
MODEL, REST, WRITE = "let the model write", "rest", "encode the report object"

Clock = dict[str, float]


def timed(function: Callable[..., Any], step: str, clock: Clock) -> Callable[..., Any]:
    """The function, whose processor time is added to a step."""

    @wraps(function)
    def call(*what: Any, **more: Any) -> Any:
        began = time.process_time()
        try:
            return function(*what, **more)
        finally:
            clock[step] += time.process_time() - began

    return call


def draft_on_request(study: Path) -> None:
    """Draft the study once for every line on standard input, and print the seconds of each step."""
    from engine import load_engine

    try:
        pipeline = import_module("plugin.drafting.writing.pipeline")
    except ModuleNotFoundError:  # before there were rooms
        pipeline = import_module("plugin.pipeline")
    clock: Clock = defaultdict(float)
    for name, step in STEPS.items():
        if hasattr(pipeline, name):
            setattr(pipeline, name, timed(getattr(pipeline, name), step, clock))
    engine = load_engine("embedded", device="cpu")
    object.__setattr__(engine, "report", timed(engine.report, MODEL, clock))
    drafter = pipeline.Pipeline(engine)
    paths = sorted(path for path in study.rglob("*") if path.is_file())

    def draft() -> None:
        sr = drafter.make_report(paths).sr
        timed(sr.save_as, WRITE, clock)(BytesIO(), enforce_file_format=True)

    draft()  # what is loaded at the first study is no study's time
    for _ in sys.stdin:
        clock.clear()
        wall, processor = time.perf_counter(), time.process_time()
        draft()
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        clock[REST] = processor - sum(clock.values())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        told = {"wall_s": wall, "processor_s": processor, "peak_mib": peak, "steps": clock}
        print(json.dumps(told), flush=True)


class Side:
    """One revision in a process of its own, with one thread: what is measured is the work."""

    def __init__(self, code: Path, study: Path):
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(code)}
        command = [sys.executable, "-P", str(Path(__file__)), "--draft", str(study)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.rounds: list[dict[str, Any]] = []

    def draft(self, studies: int) -> None:
        assert self.process.stdin
        assert self.process.stdout
        for _ in range(studies):
            self.process.stdin.write("\n")
            self.process.stdin.flush()
            self.rounds.append(json.loads(self.process.stdout.readline()))

    def end(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def result(self) -> dict[str, Any]:
        def median(values: list[float]) -> float:
            return statistics.median(values)

        steps = {step for one in self.rounds for step in one["steps"]}
        milliseconds = {
            step: round(1e3 * median([one["steps"].get(step, 0.0) for one in self.rounds]), 1)
            for step in steps
        }
        processor_s = median([one["processor_s"] for one in self.rounds])
        return {
            "studies_a_minute": round(60 / processor_s, 1),
            "studies_a_minute_by_the_clock": round(
                60 / median([one["wall_s"] for one in self.rounds]), 1
            ),
            "processor_ms": round(1e3 * processor_s, 1),
            "steps_processor_ms": dict(sorted(milliseconds.items(), key=lambda item: -item[1])),
            "peak_mib": round(self.rounds[-1]["peak_mib"]),
        }


def compare(before: str, rounds: int, scale: int) -> dict[str, Any]:
    """Both sides in turns, the one that begins changing from round to round."""
    with tempfile.TemporaryDirectory() as folder:
        old, study = Path(folder, "before"), Path(folder, "study")
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(old), before], check=True)
        try:
            slices = write_phantom(study, scale)
            sides = {"before": Side(old, study), "after": Side(ROOT, study)}
            for number in range(rounds):
                for side in list(sides.values())[:: 1 if number % 2 else -1]:
                    side.draft(1)
            for side in sides.values():
                side.end()
        finally:
            subprocess.run([*git, "remove", "--force", str(old)], check=True)
    ratios = [
        one["processor_s"] / other["processor_s"]
        for one, other in zip(sides["before"].rounds, sides["after"].rounds, strict=True)
    ]
    return {
        "slices": slices,
        "rounds": rounds,
        "revision_before": before,
        **{name: side.result() for name, side in sides.items()},
        "times_as_many": round(statistics.median(ratios), 2),
        "least_times_as_many": round(min(ratios), 2),
    }


def write_phantom(folder: Path, scale: int) -> str:
    """Write a phantom, each pixel `scale` times as wide and high; return its size in words."""
    from pydicom import dcmread

    from dicom_io.phantoms.dicom_study import write_study
    from dicom_io.phantoms.phantom import make_phantom

    folder.mkdir()
    paths = sorted(write_study(make_phantom(3), folder).rglob("*.dcm"))
    for path in paths if scale > 1 else []:
        image = dcmread(path)
        image.PixelData = image.pixel_array.repeat(scale, 0).repeat(scale, 1).tobytes()
        image.Rows, image.Columns = image.Rows * scale, image.Columns * scale
        image.PixelSpacing = [float(mm) / scale for mm in image.PixelSpacing]
        image.save_as(path)
    image = dcmread(paths[len(paths) // 2], stop_before_pixels=True)
    return f"{len(paths)} of {image.Rows} x {image.Columns} pixels"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", metavar="REV", default="HEAD", help="what is compared with")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--scale", type=int, default=1, help="make slices so many times larger")
    parser.add_argument("--record", type=Path, help="where the result is kept, too")
    parser.add_argument("--draft", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.draft:
        draft_on_request(arguments.draft)
        return
    result = json.dumps(compare(arguments.before, arguments.rounds, arguments.scale), indent=2)
    print(result)
    if arguments.record:
        arguments.record.write_text(result + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
