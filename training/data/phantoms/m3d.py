"""Phantoms as a data set in M3D's own raw layout (`training.data.m3d`)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track

from dicom_io.model_input.intensity import curve_of
from dicom_io.model_input.preprocess import DEFAULT_WINDOW
from dicom_io.phantoms.phantom import Phantom, make_phantom
from dicom_io.phantoms.truth import PHASES, PLANES, Phase, Plane
from training.data.phantoms.questions import questions, yes_no_questions
from training.data.prose import study_findings
from training.data.questions import FILE_PARTS, Question, write_questions
from training.data.shards import mapped
from training.data.splits import PARTS

_SHARES = (0.8, 0.9)
"""Where validation and test begin among the images; like M3D's split it knows nothing of cases."""

_PHASE_NAMES: dict[Phase, str] = {
    "non-contrast": "non_contrast",
    "arterial": "C__arterial_phase",
    "portal venous": "C__portal_venous_phase",
    "delayed": "C__delayed_phase",
}


@dataclass(frozen=True)
class Case:
    """What one phantom patient adds to the data set."""

    images: tuple[str, ...]
    report: str
    questions: tuple[Question, ...]
    yes_no: tuple[Question, ...]


def write_raw(raw: Path, seeds: Sequence[int], *, processes: int = 1) -> None:
    """Write a case for each seed: up to three series, in other planes or phases, and one report.

    Parameters
    ----------
    raw : Path
        Made if it is missing.
    seeds : sequence of int
        Of the phantoms; every fourth goes to `ct_quizze`, whose slices are PNG.
    processes : int
        That work at the same time.
    """
    write, console = partial(write_case, raw / "M3D_Cap"), Console(stderr=True)
    with mapped(processes) as parallel:
        done = parallel(write, seeds)
        cases = list(track(done, "phantoms", total=len(seeds), console=console))
    _write_lists(raw, cases)


def write_case(folder: Path, seed: int) -> Case:
    """Write the series and the report of one phantom."""
    rng = np.random.default_rng((seed, 2))
    name = f"{'ct_quizze' if seed % 4 == 0 else 'ct_case'}/{seed:06d}"
    images: list[str] = []
    asked: list[Question] = []
    yes_no: list[Question] = []
    for phantom in _series(seed, rng):
        truth = phantom.truth
        series = f"{truth.plane.capitalize()}_{_PHASE_NAMES[truth.phase]}"
        _write_slices(phantom, folder / name / series, ".png" if seed % 4 == 0 else ".jpeg")
        image = f"M3D_Cap_npy/{name}/{series}.npy"
        images.append(image)
        asked += questions(truth, image, rng)
        yes_no += yes_no_questions(truth, image, rng)
    report = study_findings(truth, rng)
    text = f"title: phantom {seed}\ndiscussion: \nstudy_findings: {report}\n"
    (folder / name / "text.txt").write_text(text, "utf-8")
    return Case(tuple(images), report, tuple(asked), tuple(yes_no))


def _series(seed: int, rng: np.random.Generator) -> Iterator[Phantom]:
    pairs: list[tuple[Plane, Phase]] = [(plane, phase) for plane in PLANES for phase in PHASES]
    for index in rng.choice(len(pairs), rng.integers(1, 4), replace=False):
        plane, phase = pairs[index]
        yield make_phantom(seed, plane=plane, phase=phase, focal=True)


def _write_slices(phantom: Phantom, folder: Path, ending: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, hu in enumerate(phantom.volume.hu):
        Image.fromarray(_windowed(hu)).save(folder / f"{number}{ending}", quality=95)


def _windowed(hu: NDArray[np.int16] | NDArray[np.float32]) -> NDArray[np.uint8]:
    """A slice as a viewer shows it in the soft-tissue window."""
    curve = curve_of(DEFAULT_WINDOW)
    grey: NDArray[np.uint8] = np.rint(np.interp(hu, curve.hu, curve.value) * 255).astype(np.uint8)
    return grey


def _write_lists(raw: Path, cases: Sequence[Case]) -> None:
    images = [image for case in cases for image in case.images]
    order = np.random.default_rng(len(images)).permutation(len(images))
    first, second = (round(share * len(images)) for share in _SHARES)
    chosen = {
        "train": {images[i] for i in order[:first]},
        "validation": {images[i] for i in order[first:second]},
        "test": {images[i] for i in order[second:]},
    }
    layout = {part: [_pair(i) for i in images if i in chosen[part]] for part in PARTS}
    (raw / "M3D_Cap.json").write_text(json.dumps(layout, indent=1), "utf-8")
    (raw / "M3D-VQA").mkdir(exist_ok=True)
    for part in PARTS:
        for kind in ("", "yn_"):
            source = f"M3D_VQA_{kind}{FILE_PARTS[part]}"
            rows = [
                (question, case.report)
                for case in cases
                for question in (case.yes_no if kind else case.questions)
                if question.image in chosen[part]
            ]
            path = raw / "M3D-VQA" / f"{source}.csv"
            write_questions(path, (q for q, _ in rows), (report for _, report in rows))


def _pair(image: str) -> dict[str, str]:
    return {"image": image, "text": f"{image.rpartition('/')[0]}/text.txt"}
