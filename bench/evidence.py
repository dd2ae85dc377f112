"""Whether evidence points to what a sentence speaks of: `python -m bench.evidence`.

Phantoms that nobody has seen: the model writes, and every sentence of Findings that is right and
says that something is there is explained. The truth are the voxels that the finding was painted
with: fluid itself (focal findings), or the whole organ. The control takes the map of another
sentence of the same report: a map that knows nothing of its sentence would point as well.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import sqrt
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dicom_io.model_input.preprocess import ModelInput, prepare
from dicom_io.phantoms.phantom import Phantom, make_phantom
from engine import EMBEDDED
from engine.checkpoints.checkpoint import describe
from engine.inference.local import LocalEngine
from engine.judgement.protocol import Evidence
from engine.protocol import GREEDY
from training.data.phantoms.text import statements

FIRST_SEED = 90_000_000
"""No phantom of training, of the baselines or of another benchmark is above 50 million."""
NEAR = 8
"""Voxels of the input around the true region that still count: one cell."""
FOCAL = ("pleural effusion", "ascites")
SAID = {wording: statement.fact for statement in statements() for wording in statement.wordings}


@dataclass(frozen=True, eq=False)
class Case:
    """One explained sentence and where the truth lies, in voxels of the model's input."""

    finding: str
    side: str | None
    evidence: Evidence
    region: NDArray[np.bool_]
    to_patient: NDArray[np.float64]
    others: tuple[Evidence, ...]

    def points(self, evidence: Evidence) -> bool:
        """Whether the middle of the best cell lies in the region, or at most `NEAR` from it."""
        away = np.argwhere(self.region) - np.floor(self._middle(evidence))
        return bool(np.linalg.norm(away, axis=1).min() <= NEAR)

    @property
    def on_the_side(self) -> bool:
        """Whether the best cell lies on the patient's side that is named (x grows to the left)."""
        x = self._across(self._middle(self.evidence))
        size = np.array(self.region.shape)
        middle = self._across((size - 1) / 2)
        return (x > middle) == (self.side == "left")

    @property
    def best_slices(self) -> float:
        """Share of the three slices of the input with the most weight that show the region."""
        depth = self.region.shape[0]
        profile = self.evidence.weights.sum(axis=(1, 2))
        cells = (np.arange(len(profile)) + 0.5) * depth / len(profile) - 0.5
        best = np.interp(np.arange(depth), cells, profile).argsort()[-3:]
        return float(self.region.any(axis=(1, 2))[best].mean())

    def _middle(self, evidence: Evidence) -> NDArray[np.float64]:
        size = np.array(self.region.shape) / evidence.weights.shape
        return (np.array(evidence.best) + 0.5) * size - 0.5

    def _across(self, voxel: NDArray[np.float64]) -> float:
        return float((self.to_patient @ [*voxel, 1.0])[0])


Explained = tuple[list[Case], float, float]
"""The sentences of a report, and the processor seconds of its text and evidence."""


def explained(model: Path, threads: int, seeds: range) -> list[Explained]:
    """Explain the reports of some phantoms."""
    torch.set_num_threads(threads)
    return list(cases(LocalEngine.load(model, device="cpu"), seeds))


def cases(engine: LocalEngine, seeds: range) -> Iterator[Explained]:
    """Yield what each phantom's report gives."""
    for seed in seeds:
        phantom = make_phantom(seed)
        model_input = prepare(phantom.volume, engine.preprocess)
        began = time.process_time()
        generation = engine.report(model_input, GREEDY)
        written = time.process_time()
        spans = dict(right_sentences(generation.text, phantom))
        found = engine.explain(model_input, generation, list(spans))
        explained = time.process_time()
        known = [
            Case(
                one.finding,
                spans[one.span][1],
                one,
                region_of(phantom, one.finding, model_input),
                model_input.affine_lps,
                tuple(other for other in found if other is not one),
            )
            for one in found
        ]
        yield known, written - began, explained - written


def right_sentences(
    text: str, phantom: Phantom
) -> Iterator[tuple[tuple[int, int], tuple[str, str | None]]]:
    """Yield where Findings says that something is there which is."""
    end = text.find("Impression:")
    findings = text[: end if end >= 0 else len(text)]
    for wording, (finding, side) in SAID.items():
        planted = phantom.truth.finding(finding)
        start = findings.find(wording)
        if planted is not None and start >= 0 and planted.side == side:
            yield (start, start + len(wording)), (finding, side)


def region_of(phantom: Phantom, finding: str, model_input: ModelInput) -> NDArray[np.bool_]:
    """Look up the true region at every voxel of the model's input."""
    region = phantom.regions[finding]
    shape = model_input.pixels.shape[1:]
    there = np.linalg.inv(phantom.volume.affine_lps) @ model_input.affine_lps
    index = np.stack([*np.indices(shape).reshape(3, -1), np.ones(int(np.prod(shape)))])
    at = np.rint(there @ index)[:3].astype(int)
    inside = ((at >= 0) & (at < np.array(region.shape)[:, None])).all(axis=0)
    found = np.zeros(index.shape[1], bool)
    found[inside] = region[tuple(at[:, inside])]
    return found.reshape(shape)


def wilson(right: int, n: int) -> list[float]:
    """95 % interval of a share."""
    z, p = 1.959964, right / n
    middle, half = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return [round((middle + sign * half) / (1 + z * z / n), 3) for sign in (-1, 1)]


def share(hits: Sequence[bool]) -> dict[str, Any]:
    """A share with its interval."""
    n, right = len(hits), sum(hits)
    return {"n": n, "share": round(right / n, 3), "interval": wilson(right, n)} if n else {"n": 0}


def figures(known: Sequence[Case]) -> dict[str, Any]:
    """The figures of some sentences."""
    pointing = [case.points(case.evidence) for case in known]
    paired = [(hit, case) for hit, case in zip(pointing, known, strict=True) if case.others]
    return {
        "pointing": share(pointing),
        "side": share([c.on_the_side for c in known if c.side in ("left", "right")]),
        "best three slices": round(float(np.mean([c.best_slices for c in known])), 3),
        "pointing, reports with several": share([hit for hit, _ in paired]),
        "pointing, map of another sentence": share(
            [case.points(other) for _, case in paired for other in case.others]
        ),
    }


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phantoms", type=int, default=200)
    parser.add_argument("--model", type=Path, default=EMBEDDED)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    seeds = range(FIRST_SEED, FIRST_SEED + options.phantoms)
    parts = [seeds[i :: options.workers] for i in range(options.workers)]
    run = partial(explained, options.model, options.threads)
    with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
        done = [one for part in pool.map(run, parts) for one in part]
    known = [case for found, _, _ in done for case in found]
    groups = {
        "all": known,
        "focal": [case for case in known if case.finding in FOCAL],
        "whole organ": [case for case in known if case.finding not in FOCAL],
        **{name: [c for c in known if c.finding == name] for name in {c.finding for c in known}},
    }
    seconds = [(text, evidence / len(found)) for found, text, evidence in done if found]
    told = {
        "phantoms": options.phantoms,
        "model": describe(options.model).digest,
        "workers": options.workers,
        "threads of each": options.threads,
        "median processor seconds of a text": round(float(np.median([t for t, _ in seconds])), 2),
        "median processor seconds a sentence": round(float(np.median([e for _, e in seconds])), 2),
        **{name: figures(group) for name, group in groups.items()},
    }
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
