"""From which foreign images a model abstains, and from how many unseen phantoms.

Everything foreign is made of phantoms, or read from a folder of real series. The mechanism was
developed on the kinds of `DEVELOPED`; those of `HELD_BACK` were looked at when it was final.
Run `python -m bench.foreign`; see bench/README.md.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from bench.foreign_kinds import DEVELOPED, HELD_BACK, Maker, disfigured
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


def reasons(engine: ReportEngine, volumes: Iterable[Volume]) -> list[str | None]:
    """Ask why a model abstains from each volume; None where it does not."""
    return [
        engine.report(prepare(volume, engine.preprocess), ONE_TOKEN).abstained for volume in volumes
    ]


def of_kinds(engine: ReportEngine, kinds: Mapping[str, Maker], each: int) -> dict[str, Any]:
    """Count the abstentions of each kind, and name what told a kind first.

    Parameters
    ----------
    engine : ReportEngine
    kinds : mapping of str to callable
    each : int
        Inputs of a kind; every one is another phantom.
    """
    found = {}
    for name, make in kinds.items():
        first = FIRST_FOREIGN + each * [*DEVELOPED, *HELD_BACK].index(name)
        seeds = range(first, first + each)
        found[name] = counted(reasons(engine, (disfigured(make, seed) for seed in seeds)))
    return found


def real(engine: ReportEngine, folder: Path) -> Iterator[str | None]:
    """Ask of every real series that is a volume, and of every NIfTI in HU."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    niftis = [path for path in files if path.name.endswith(".nii.gz")]
    for place in sorted({path.parent for path in files if path not in niftis}):
        for series in (series for study in read_studies([place]) for series in study.series):
            try:
                volume = build_volume(stack_of(series))
            except CtscribeError:
                continue
            yield from reasons(engine, [volume])
    yield from reasons(engine, map(from_nifti, niftis))


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


def measure(engine: ReportEngine, each: int, unseen: int, cases: Path | None) -> dict[str, Any]:
    """Count abstentions from everything.

    Parameters
    ----------
    engine : ReportEngine
        Of a model of plain phantoms.
    each, unseen : int
        Inputs of each foreign kind, and phantoms.
    cases : Path, optional
        A folder of real series.
    """
    developed, held_back = (of_kinds(engine, kinds, each) for kinds in (DEVELOPED, HELD_BACK))
    series = {"real series": counted(list(real(engine, cases)))} if cases else {}
    phantoms = (make_phantom(FIRST_UNSEEN + i).volume for i in range(unseen))
    known = counted(reasons(engine, phantoms))
    groups = {"developed": developed, "held_back": held_back, "real": series}
    kinds = [kind for group in groups.values() for kind in group.values()]
    return {
        "model": engine.identity.digest,
        "foreign": together(kinds),
        **{name: together(list(group.values())) for name, group in groups.items() if group},
        "unseen_phantoms": {**together([known]), "told_by": known["told_by"]},
        "kinds": developed | held_back | series,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--each", type=int, default=10, help="inputs of each foreign kind")
    parser.add_argument("--unseen", type=int, default=300, help="phantoms")
    parser.add_argument("--cases", type=Path, help="a folder of real series")
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    figures = measure(load_engine(options.model), options.each, options.unseen, options.cases)
    text = json.dumps(figures, indent=2)
    print(text)
    if options.record:
        options.record.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
