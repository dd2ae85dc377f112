"""How long it takes to find the studies most similar to one, by plain numpy.

Run `python -m bench.similar`; see bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import numpy as np

from plugin.feedback.similar import nearest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--rounds", type=int, default=20)
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((asked.studies, asked.width), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    times = []
    for k in range(asked.rounds):
        started = time.perf_counter()
        nearest(vectors, vectors[k], 5)
        times.append(1000 * (time.perf_counter() - started))
    found = {"median_ms": statistics.median(times), "slowest_ms": max(times)}
    print(json.dumps({**vars(asked), **found, "memory_mb": vectors.nbytes / 1e6}))


if __name__ == "__main__":
    main()
