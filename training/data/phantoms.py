"""Phantoms as a training store, their truth with them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from dicom_io.phantom import Truth, draw_truth, make_phantom
from dicom_io.preprocess import PreprocessSpec, prepare
from training.data.shards import Made, Planned, begun, fill, plan_digest, write_splits, write_texts
from training.data.splits import grouped_split
from training.data.store import Header, open_store
from training.wording import report_text


def write_phantoms(
    folder: Path, seeds: Sequence[int], spec: PreprocessSpec, *, processes: int = 2
) -> None:
    """Make the phantoms of `seeds` and keep their inputs in 8 bits; a killed run goes on."""
    planned = [Planned(f"phantom/{s}", str(s), f"phantom/{s}/text", str(s)) for s in seeds]
    header = Header(spec, "uint8", "phantoms", plan_digest(planned))
    with begun(folder, header):
        fill(folder, header, planned, partial(make_input, spec), processes=processes)
        texts = {image.text: _report(int(image.source)) for image in planned}
        write_texts(folder, texts)
        split = grouped_split(planned, texts, held_out=0.0, seed=0)
        write_splits(folder, {"grouped": split}, {image.key: image for image in planned})


def read_phantoms(folder: Path, spec: PreprocessSpec) -> tuple[list[Tensor], list[Truth]]:
    """Open what `write_phantoms` wrote: one memory-mapped (1, D, H, W) and one truth a phantom."""
    store = open_store(folder, spec)
    truths = [Truth.from_dict(record.origin["truth"]) for record in store.images.values()]
    return [store.stored(key) for key in store.images], truths


def make_input(spec: PreprocessSpec, image: Planned) -> Made:
    """Make the input of a phantom; `source` is its seed."""
    phantom = make_phantom(int(image.source))
    made = prepare(phantom.volume, spec)
    return Made(made.pixels, made.affine_lps, origin={"truth": phantom.truth.to_dict()})


def _report(seed: int) -> str:
    return report_text(draw_truth(np.random.default_rng(seed)), np.random.default_rng(seed))
