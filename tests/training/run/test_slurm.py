import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.repository import ROOT
from tests.waiting import eventually

SCRIPT = ROOT / "training" / "slurm" / "train.sbatch"

STUBS = {
    "scontrol": 'echo "scontrol $*" >>"$LOG"; [ "$1" = show ] && printf "node7\\nnode8\\n"; true',
    "srun": 'echo "srun $*" >>"$LOG"; touch "$LOG.started"; exec sleep "$SECONDS_OF_WORK"',
}
"""In the place of Slurm's own commands."""


@pytest.fixture
def slurm(tmp_path) -> dict[str, str]:
    for name, body in STUBS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "LOG": str(tmp_path / "log"),
        "SECONDS_OF_WORK": "0",
        "SLURM_JOB_ID": "61234",
        "SLURM_JOB_NODELIST": "node[7-8]",
        "SLURM_NNODES": "2",
        "SLURM_GPUS_ON_NODE": "8",
    }


def test_every_node_starts_torchrun_which_meets_on_the_first(slurm):
    arguments = ["finetune", "--recipe", "paper", "--out", "a run"]
    subprocess.run(["bash", str(SCRIPT), *arguments], env=slurm, check=True, timeout=20)
    started = Path(slurm["LOG"]).read_text().splitlines()[-1]
    assert started == (
        "srun --kill-on-bad-exit=1 torchrun --nnodes 2 --nproc-per-node 8 --rdzv-id 61234 "
        "--rdzv-backend c10d --rdzv-endpoint node7:21234 --no-python ctscribe train "
        "finetune --recipe paper --out a run"
    )


def test_the_job_is_queued_again_before_its_time_is_up(slurm):
    environment = {**slurm, "SECONDS_OF_WORK": "3"}
    job = subprocess.Popen(["bash", str(SCRIPT), "finetune"], env=environment)
    eventually(Path(slurm["LOG"] + ".started").exists)
    job.send_signal(signal.SIGUSR1)
    job.wait(timeout=20)
    assert "scontrol requeue 61234" in Path(slurm["LOG"]).read_text()


def test_slurm_is_told_to_queue_it_again_and_to_keep_the_log():
    wanted = {"--requeue", "--open-mode=append", "--signal=B:USR1@120"}
    lines = SCRIPT.read_text().splitlines()
    assert wanted <= {line.removeprefix("#SBATCH ") for line in lines}
