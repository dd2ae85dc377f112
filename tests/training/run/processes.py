"""Real processes of a run: ranks as a launcher starts them, on the CPU."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.forked import Forked
from tests.ports import free_port
from tests.repository import ROOT

BIN = Path(sys.executable).parent


def launch(command: Sequence[str], ranks: int = 2) -> None:
    """Run `python -m COMMAND` on several ranks to its end, by the `deepspeed` launcher."""
    launcher = [str(BIN / "deepspeed"), "--num_accelerators", str(ranks)]
    launcher += ["--master_port", str(free_port()), "--no_python", "--no_local_rank"]
    done = subprocess.run(
        [*launcher, sys.executable, "-m", *command],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout


def start(command: Sequence[str]) -> Forked:
    """Start one process with one thread for its arithmetic, so that sums have one order."""
    return Forked(command, {"OMP_NUM_THREADS": "1"})


def start_each(command: Sequence[str], ranks: int = 2) -> list[Forked]:
    """Start each rank as `srun` and `torchrun` do: a process that its environment tells which."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(ranks)}
    place |= {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"}
    return [
        Forked(command, {**place, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(ranks)
    ]


def finished(ranks: Sequence[Forked]) -> str:
    """Wait until all ranks have ended well; return what the first printed."""
    outputs = [(process.communicate(timeout=300)[0], process.returncode) for process in ranks]
    assert all(code == 0 for _, code in outputs), outputs
    return outputs[0][0]
