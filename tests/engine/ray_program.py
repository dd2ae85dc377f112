"""`serve run FILE` on a cluster of this process alone: loopback, no dashboard, little memory."""

from __future__ import annotations

import signal
import sys

import ray
from ray.serve.scripts import cli

if __name__ == "__main__":
    # what a shell starts in the background ignores the signal that ends it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ray.init(
        num_cpus=4,
        num_gpus=2,  # Ray counts them, and does not look whether they are there
        object_store_memory=80 * 2**20,
        include_dashboard=False,
        namespace="serve",
    )
    cli(["run", sys.argv[1]])
