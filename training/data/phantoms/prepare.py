"""Phantoms as a training store: inputs made of HU, reports, questions, and their truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from dicom_io.model_input.preprocess import PreprocessSpec, prepare
from dicom_io.phantoms.detailed.phantom import draw_study, make_detailed_phantom
from dicom_io.phantoms.phantom import make_phantom
from dicom_io.phantoms.truth import Kind, Truth, draw_truth
from training.data.phantoms.questions import questions, yes_no_questions
from training.data.phantoms.regions import cells_of, packed
from training.data.phantoms.text import in_view, report_text
from training.data.questions import ABNORMALITY, FILE_PARTS, Question, closed
from training.data.shards import (
    Made,
    Planned,
    begun,
    fill,
    plan_digest,
    write_question_files,
    write_splits,
    write_texts,
)
from training.data.splits import PARTS, Part, without_repeats
from training.data.store import Header


def write_phantoms(
    folder: Path,
    seeds: Mapping[Part, Sequence[int]],
    spec: PreprocessSpec,
    *,
    kind: Kind = "plain",
    processes: int = 1,
) -> None:
    """Make the phantoms of some seeds a training store; a killed run goes on.

    Both splits follow the seeds; `grouped` leaves out of a later part what has the text of
    something before it.

    Parameters
    ----------
    folder : Path
        Of the store.
    seeds : mapping
        Of the phantoms of each part; a part may be missing.
    spec : PreprocessSpec
        How inputs are made of HU: that of the model which is to be trained or evaluated.
    kind : {"plain", "detailed"}
        Of the phantoms.
    processes : int
        That make inputs at the same time.

    Raises
    ------
    UnusableData
        The folder holds something else.
    """
    parts = {part: [_planned(kind, seed) for seed in seeds.get(part, ())] for part in PARTS}
    planned = [image for part in PARTS for image in parts[part]]
    header = Header(spec, "uint16", "phantoms", plan_digest(planned))
    with begun(folder, header):
        fill(folder, header, planned, partial(make_input, spec, kind), processes=processes)
        texts = {image.text: _report(kind, int(image.source)) for image in planned}
        write_texts(folder, texts)
        asked = (_questions(kind, image, part) for part in PARTS for image in parts[part])
        write_question_files(folder, [question for some in asked for question in some])
        keys = {part: [image.key for image in parts[part]] for part in PARTS}
        placed = ((part, image) for part in PARTS for image in parts[part])
        splits = {"paper": keys, "grouped": without_repeats(placed, texts)}
        write_splits(folder, splits, {image.key: image for image in planned})


def make_input(spec: PreprocessSpec, kind: Kind, image: Planned) -> Made:
    """Make the input of a phantom, with what it shows and where.

    Parameters
    ----------
    spec : PreprocessSpec
    kind : {"plain", "detailed"}
    image : Planned
        Its `source` is the seed.
    """
    seed = int(image.source)
    phantom = make_phantom(seed) if kind == "plain" else make_detailed_phantom(seed)
    made = prepare(phantom.volume, spec)
    to_input = np.linalg.inv(made.affine_lps) @ phantom.volume.affine_lps
    cells = {n: cells_of(where, to_input, spec.size) for n, where in phantom.regions.items()}
    origin = {"truth": phantom.truth.to_dict(), "regions": packed(cells)}
    return Made(made.pixels, made.affine_lps, origin=origin)


def _planned(kind: Kind, seed: int) -> Planned:
    key = f"phantom/{seed}" if kind == "plain" else f"detailed/{seed}"
    return Planned(key, str(seed), f"{key}/text", str(seed))


def _truth(kind: Kind, seed: int) -> Truth:
    return draw_truth(np.random.default_rng(seed)) if kind == "plain" else draw_study(seed).truth


def _report(kind: Kind, seed: int) -> str:
    return report_text(_truth(kind, seed), np.random.default_rng(seed))


def _questions(kind: Kind, image: Planned, part: Part) -> Iterator[Question]:
    """Questions on what is in view; yes and no are choices too."""
    seed, part_name = int(image.source), FILE_PARTS[part]
    truth, rng = _truth(kind, seed), np.random.default_rng((seed, 2))
    known = in_view(truth)
    for question in questions(truth, image.key, rng, known):
        yield replace(question, source=f"phantom_{part_name}")
    for question in yes_no_questions(truth, image.key, rng, known):
        yield replace(question, source=f"phantom_yn_{part_name}")
        asked, answer, source = question.question, question.answer, f"phantom_{part_name}"
        yield closed(image.key, ABNORMALITY, asked, answer, ("Yes", "No"), rng, source)
