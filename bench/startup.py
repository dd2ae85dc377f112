"""Where the time of `ctscribe report` goes until the first token of the embedded model.

Takes the command's steps one by one in a fresh process, several times, on the study of a phantom;
then asks Python which packages the imports were spent on. Run `python -m bench.startup`.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

MODULES = "import plugin.commands.report, engine.inference.local"
IMPORT_LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \| +(\w+)")


class Steps:
    """Wall and processor seconds of consecutive steps; the first begins with the process."""

    def __init__(self, started: float):
        self._wall, self._processor = started, 0.0
        self.seconds: dict[str, tuple[float, float]] = {}

    def end(self, step: str) -> None:
        wall, processor = time.time(), time.process_time()
        if step not in self.seconds:
            self.seconds[step] = (wall - self._wall, processor - self._processor)
        self._wall, self._processor = wall, processor


def take_steps(study: Path, started: float) -> Steps:
    """Do what `plugin.commands.report.report_studies` does until the first token is there."""
    steps = Steps(started)
    steps.end("start Python")
    from plugin import cli  # noqa: F401
    from plugin.command_group import report

    steps.end("import the command line, pydicom and highdicom")
    (found,) = report.read_studies([study])
    steps.end("read the headers")
    import torch

    steps.end("import torch")
    from engine.inference import local  # noqa: F401
    from engine.network.towers.inference_form import InferenceForm

    steps.end("import the model's code and transformers")
    model = report.load_engine()
    steps.end("load the model")
    choice, volume = report.build_first(report.choose_series(found))
    steps.end("build the volume")
    model_input = report.prepare(volume, model.preprocess, choice.stack.window)
    steps.end("prepare the model's input")

    def encoded(module: torch.nn.Module, *_: object) -> None:
        if isinstance(module, InferenceForm):
            steps.end("encode the volume")

    torch.nn.modules.module.register_module_forward_hook(encoded)
    model.report(model_input, on_token=lambda *_: steps.end("read the prompt, write a token"))
    return steps


def measure(study: Path, rounds: int) -> dict[str, object]:
    """Medians of each step over fresh processes, and of their sum."""
    runs = [child_steps(study) for _ in range(rounds)]

    def medians(clock: int) -> dict[str, float]:
        of_step = {step: [run[step][clock] for run in runs] for step in runs[0]}
        return {step: round(statistics.median(s), 2) for step, s in of_step.items()}

    totals = [tuple(map(sum, zip(*run.values(), strict=True))) for run in runs]
    wall, processor = (statistics.median(column) for column in zip(*totals, strict=True))
    return {
        "to_first_token_s": round(wall, 2),
        "least_to_first_token_s": round(min(total[0] for total in totals), 2),
        "processor_s": round(processor, 2),
        "steps_s": medians(0),
        "steps_processor_s": medians(1),
    }


def child_steps(study: Path) -> dict[str, tuple[float, float]]:
    command = [sys.executable, "-m", "bench.startup", "--steps", str(study), str(time.time())]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def imports_by_package() -> dict[str, float]:
    """Seconds that each package's own modules took to import, without what they import."""
    command = [sys.executable, "-X", "importtime", "-c", MODULES]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds: Counter[str] = Counter()
    for microseconds, package in IMPORT_LINE.findall(done.stderr):
        seconds[package] += int(microseconds) / 1e6
    return {package: round(s, 2) for package, s in seconds.most_common(12)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.steps:
        study, started = arguments.steps
        print(json.dumps(take_steps(Path(study), float(started)).seconds))
        return
    from dicom_io.phantoms.dicom_study import write_study
    from dicom_io.phantoms.phantom import make_phantom

    with tempfile.TemporaryDirectory() as folder:
        study = write_study(make_phantom(3), Path(folder))
        result = measure(study, arguments.rounds)
    print(json.dumps(result | {"imports_s": imports_by_package()}, indent=2))


if __name__ == "__main__":
    main()
