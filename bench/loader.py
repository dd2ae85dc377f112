"""Reading training inputs: the training store against the authors' way, in turns in one run.

The authors keep a NIfTI file an image (.nii.gz, float32) and read it with SimpleITK. Both deliver
float32 batches in [0, 1] of the same images in the same order. Run `python -m bench.loader`; see
bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import SimpleITK
import torch
from torch import Tensor

from dicom_io.model_input.preprocess import PreprocessSpec, prepare
from dicom_io.phantoms.phantom import make_phantom
from training.data.sampler import Batches
from training.data.shards import Made, Planned, begun, fill, write_splits, write_texts
from training.data.store import Header, Store, as_unit_interval, open_store
from training.recipe.stages import Stage
from training.run.loader import load_steps
from training.run.plan import Plan

SPEC = PreprocessSpec()
BATCH = 4
RATES = {"global_batch": BATCH, "micro_batch": BATCH, "learning_rate": 1, "weight_decay": 0}


@dataclass(frozen=True)
class Images:
    """The images of a store as a stage's data."""

    store: Store
    keys: list[str]

    def __len__(self) -> int:
        return len(self.keys)

    def example(self, item: int, rng: object) -> Tensor:
        return self.store.stored(self.keys[item])

    def collate(self, examples: list[Tensor]) -> Tensor:
        return torch.stack(examples)


class NiftiFiles:
    """The authors' way: one compressed NIfTI file an image."""

    def __init__(self, folder: Path, keys: list[str]) -> None:
        self.paths = [folder / f"{key}.nii.gz" for key in keys]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        image = SimpleITK.ReadImage(str(self.paths[index]))
        return torch.from_numpy(SimpleITK.GetArrayFromImage(image))[None]


def write_both(folder: Path, images: int) -> list[str]:
    """Make phantoms, and keep each as a NIfTI file and in a store."""
    planned = [Planned(f"p{seed}", f"p{seed}", f"t{seed}", str(seed)) for seed in range(images)]

    def make(image: Planned) -> Made:
        made = prepare(make_phantom(int(image.source), focal=True).volume, SPEC)
        nifti = SimpleITK.GetImageFromArray(made.pixels[0])
        SimpleITK.WriteImage(nifti, str(folder / f"{image.key}.nii.gz"))
        return Made(made.pixels, made.affine_lps)

    header = Header(SPEC, "uint8", "bench", "")
    with begun(folder, header):
        fill(folder, header, planned, make, processes=1)
        write_texts(folder, {image.text: "A report." for image in planned})
        split = {"train": [image.key for image in planned], "validation": [], "test": []}
        write_splits(folder, {"grouped": split}, {image.key: image for image in planned})
    return [image.key for image in planned]


def seconds_an_image(batches: Iterator[Tensor], take: Callable[[Tensor], object]) -> float:
    """Time to have every image of some batches as float32 in [0, 1] in one place."""
    start, count = time.perf_counter(), 0
    for batch in batches:
        take(batch)
        count += len(batch)
    return (time.perf_counter() - start) / count


def compare(folder: Path, images: int, rounds: int, workers: int) -> dict[str, object]:
    """Times of both in turns over the same images."""
    keys = write_both(folder, images)
    store, files = open_store(folder, SPEC), NiftiFiles(folder, keys)
    data = Images(store, keys)
    output = torch.empty(BATCH, 1, *SPEC.size)
    steps = images // BATCH

    def ours(round_: int) -> Iterator[Tensor]:
        stage = Stage(steps=(round_ + 1) * steps, **RATES)
        passes = load_steps(data, Plan(stage, images), 0, 0, round_ * steps, workers)
        return (one.batch for (one,) in passes)

    def theirs(round_: int) -> Iterator[Tensor]:
        batches = Batches(images, BATCH, round_ * steps, (round_ + 1) * steps, seed=0)
        loader = torch.utils.data.DataLoader(files, batch_sampler=batches, num_workers=workers)
        return iter(loader)

    difference = max(
        float((as_unit_interval(a) - b).abs().max())
        for a, b in zip(ours(0), theirs(0), strict=True)
    )
    times = [
        (
            seconds_an_image(ours(r), lambda batch: as_unit_interval(batch, out=output)),
            seconds_an_image(theirs(r), output.copy_),
        )
        for r in range(rounds)
    ]
    mine, authors = (statistics.median(column) for column in zip(*times, strict=True))
    return {
        "images_per_s": round(1 / mine, 1),
        "authors_images_per_s": round(1 / authors, 2),
        "times_faster": round(authors / mine, 1),
        "least_times_faster": round(min(b / a for a, b in times), 1),
        "largest_difference": difference,
        "mb_per_image": round(mebibytes(folder / "images", images), 2),
        "authors_mb_per_image": round(
            sum((folder / f"{key}.nii.gz").stat().st_size for key in keys) / images / 2**20, 2
        ),
    }


def mebibytes(folder: Path, images: int) -> float:
    shards = folder.glob("*.safetensors")
    return sum(path.stat().st_size for path in shards) / images / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        result = compare(Path(folder), arguments.images, arguments.rounds, arguments.workers)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
