"""From which foreign images a model abstains, and from how many unseen phantoms.

Everything foreign is made of phantoms, or read from a folder of real series. The mechanism was
developed on the kinds of `DEVELOPED`. Those of `HELD_BACK` were looked at when it was final, and
one change was made after that: few cells beside many, for exchanged sides and for fronts.
Run `python -m bench.foreign`; see bench/README.md.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from torch import set_num_threads

from bench.foreign_kinds import DEVELOPED, HELD_BACK, disfigured
from dicom_io.errors import CtscribeError
from dicom_io.model_input.preprocess import prepare
from dicom_io.phantoms.phantom import make_phantom
from dicom_io.slices.read import read_studies
from dicom_io.types import Volume
from dicom_io.volume.stacks import stack_of
from dicom_io.volume.volume import build_volume
from engine import load_engine
from engine.network.out_of_distribution import MEANINGS
from engine.protocol import ReportEngine, Sampling
from training.evaluation.metrics.bootstrap import wilson

FIRST_FOREIGN, FIRST_UNSEEN = 960_000, 980_000
"""Seeds that nothing else was trained, fitted or judged with."""

TOLD = {meaning: name for name, meaning in MEANINGS.items()}
"""Which vector a reason names."""

ONE_TOKEN = Sampling(max_new_tokens=1)
"""Whether it abstains is known before the text."""


@cache
def engine_of(model: str) -> ReportEngine:
    """Load a model once in each process."""
    return load_engine(model)


def reason(model: str, volume: Volume) -> str | None:
    """Ask why a model abstains from a volume; None where it does not."""
    engine = engine_of(model)
    return engine.report(prepare(volume, engine.preprocess), ONE_TOKEN).abstained


def of_foreign(model: str, kind: str, seed: int) -> str | None:
    return reason(model, disfigured({**DEVELOPED, **HELD_BACK}[kind], seed))


def of_phantom(model: str, seed: int) -> str | None:
    return reason(model, make_phantom(seed).volume)


def real(folder: Path) -> Iterator[Volume]:
    """Read every real series that is a volume, and every NIfTI in HU."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    niftis = [path for path in files if path.name.endswith(".nii.gz")]
    for place in sorted({path.parent for path in files if path not in niftis}):
        for series in (series for study in read_studies([place]) for series in study.series):
            with suppress(CtscribeError):
                yield build_volume(stack_of(series))
    yield from map(from_nifti, niftis)


def from_nifti(path: Path) -> Volume:
    """HU as they lie in a NIfTI, whose axes are RAS."""
    image: Any = nibabel.load(path)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine[:, [2, 1, 0, 3]]
    hu = np.asarray(image.dataobj).transpose(2, 1, 0)
    return Volume(np.rint(hu).clip(-1024, 3071).astype(np.int16), affine)


def counted(found: Sequence[str | None]) -> dict[str, Any]:
    """How many of some images were refused, and what told how many of them."""
    told = Counter(TOLD[reason.partition("(")[2].partition(":")[0]] for reason in found if reason)
    return {"n": len(found), "abstained": sum(told.values()), "told_by": dict(told.most_common())}


def together(groups: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The share of several groups that was refused, with its interval."""
    n, refused = (sum(group[key] for group in groups) for key in ("n", "abstained"))
    share = wilson(refused / n, n)
    interval = [round(share.low, 4), round(share.high, 4)]
    return {"n": n, "abstained": refused, "share": round(share.value, 4), "interval": interval}


def measure(
    model: str, each: int, unseen: int, cases: Path | None, processes: int
) -> dict[str, Any]:
    """Count abstentions from everything.

    Parameters
    ----------
    model : str
        Of plain phantoms.
    each, unseen : int
        Inputs of each foreign kind, every one of another phantom, and phantoms.
    cases : Path, optional
        A folder of real series.
    processes : int
        That ask at the same time.
    """
    kinds = [kind for kind in (*DEVELOPED, *HELD_BACK) for _ in range(each)]
    foreign = range(FIRST_FOREIGN, FIRST_FOREIGN + len(kinds))
    seeds = range(FIRST_UNSEEN, FIRST_UNSEEN + unseen)
    with ProcessPoolExecutor(processes, get_context("spawn"), set_num_threads, (1,)) as pool:
        asked = pool.map(partial(of_foreign, model), kinds, foreign)
        phantoms = pool.map(partial(of_phantom, model), seeds)
        series = pool.map(partial(reason, model), real(cases) if cases else ())
        found: dict[str, list[str | None]] = {kind: [] for kind in dict.fromkeys(kinds)}
        for kind, why in zip(kinds, asked, strict=True):
            found[kind].append(why)
        known, found["real series"] = counted(list(phantoms)), list(series)
    told = {kind: counted(why) for kind, why in found.items() if why}
    groups = {"developed": DEVELOPED, "held_back": HELD_BACK, "real": ("real series",)}
    return {
        "model": engine_of(model).identity.digest,
        "foreign": together(list(told.values())),
        **{
            name: together([told[kind] for kind in group if kind in told])
            for name, group in groups.items()
            if any(kind in told for kind in group)
        },
        "unseen_phantoms": {**together([known]), "told_by": known["told_by"]},
        "kinds": told,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--each", type=int, default=10, help="inputs of each foreign kind")
    parser.add_argument("--unseen", type=int, default=300, help="phantoms")
    parser.add_argument("--cases", type=Path, help="a folder of real series")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    figures = measure(options.model, options.each, options.unseen, options.cases, options.processes)
    text = json.dumps(figures, indent=2)
    print(text)
    if options.record:
        options.record.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
