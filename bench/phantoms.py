"""What a detailed phantom costs: `python -m bench.phantoms`.

Prints processor seconds of one core for each volume, so that other work on the machine counts
little. Threads of numpy are none here: nothing is a matrix product.
"""

from __future__ import annotations

import time

import click
import numpy as np

from dicom_io.phantoms.detailed.phantom import make_detailed_phantom


@click.command()
@click.option("--volumes", default=40, help="Number of phantoms to make.")
def main(volumes: int) -> None:
    """Make phantoms, and say how long each took."""
    make_detailed_phantom(0)  # imports and caches
    seconds, voxels = [], []
    for seed in range(1, volumes + 1):
        before = time.process_time()
        voxels.append(make_detailed_phantom(seed).volume.hu.size)
        seconds.append(time.process_time() - before)
    print(f"{volumes} volumes of {min(voxels) / 1e6:.1f} to {max(voxels) / 1e6:.1f} million voxels")
    low, middle, high = np.quantile(seconds, [0, 0.5, 1])
    print(f"seconds of one core: median {middle:.2f}, from {low:.2f} to {high:.2f}")


if __name__ == "__main__":
    main()
