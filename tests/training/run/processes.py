"""Real processes of a run: ranks by the `deepspeed` launcher, on the CPU."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.ports import free_port
from tests.repository import ROOT

BIN = Path(sys.executable).parent
CTSCRIBE = str(BIN / "ctscribe")


def run_ranks(
    command: Sequence[str], ranks: int = 2, *, environment: Mapping[str, str] | None = None
) -> str:
    """Run a command on several ranks to its end; return what they printed."""
    process = start_ranks(command, ranks, environment=environment)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def start_ranks(
    command: Sequence[str], ranks: int = 2, *, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start `deepspeed … command` in a session of its own; output and errors come together."""
    launcher = [str(BIN / "deepspeed"), "--num_accelerators", str(ranks)]
    launcher += ["--master_port", str(free_port()), "--no_python", "--no_local_rank"]
    return start(
        [*launcher, *command], environment={"DS_ACCELERATOR": "cpu", **(environment or {})}
    )


def start_each(command: Sequence[str], ranks: int = 2) -> list[subprocess.Popen[str]]:
    """Start each rank as `srun` and `torchrun` do: a process that its environment tells which."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(ranks)}
    place |= {"DS_ACCELERATOR": "cpu"}
    return [
        start(command, environment={**place, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(ranks)
    ]


def start(
    command: Sequence[str], *, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start one process with one thread for its arithmetic, so that sums have one order."""
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
