"""What a launcher (deepspeed, torchrun, srun) tells a process of its place among all."""

from __future__ import annotations

import os

import torch


def launched_ranks() -> int:
    """Return how many processes were started, on whatever nodes."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def launched_rank() -> int:
    """Return the number of this process among all."""
    return int(os.environ.get("RANK", "0"))


def own_device() -> torch.device:
    """Return the GPU that the launcher gave this process, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")
