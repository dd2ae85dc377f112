"""Site data of many studies: how fast several processes collect, and whether memory stays flat.

Phantoms lie in a folder with a table of reports; `ctscribe prepare site` makes a training store of
them: `python -m bench.site_data --studies 500`.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from dicom_io.phantoms.dicom_study import write_study
from dicom_io.phantoms.phantom import make_phantom
from training.data.phantoms.text import report_text

# Pixels of a slice's wider side: enough to be chosen, and quickly written
MATRIX = 48
# Often enough to see what one study takes
PAUSE_S = 0.25


def main() -> None:
    """Write the studies, prepare them with each number of processes, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--record", type=Path, help="write the figures to this file, too")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = write_site(folder / "archive", asked.studies)
        lines = [measured(folder, table, asked.studies, count) for count in asked.processes]
    for line in lines:
        print(json.dumps(line))
    if asked.record:
        asked.record.write_text(json.dumps(lines, indent=1) + "\n", "utf-8")


def write_site(archive: Path, studies: int) -> Path:
    """Write phantoms as studies, and their reports as a table beside them."""
    table = archive.with_name("reports.csv")
    archive.mkdir(parents=True)
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["accession", "patient_id", "text"])
        for seed in range(studies):
            phantom = make_phantom(seed, matrix=MATRIX)
            write_study(phantom, archive / str(seed))
            text = report_text(phantom.truth, np.random.default_rng(seed))
            writer.writerow([f"P{seed}", f"PHANTOM-{seed}", text])
    return table


def measured(folder: Path, table: Path, studies: int, processes: int) -> dict[str, float]:
    """Run the command, and look at the memory of all its processes while it works.

    Parameters
    ----------
    folder, table : Path
        Where the studies, and where the reports are.
    studies : int
        How many there are.
    processes : int
        As the command takes it.

    Returns
    -------
    dict
        Studies a minute; the peak of memory in MB while the middle fifth of the studies was
        collected, and while the last fifth was.
    """
    out = folder / f"out{processes}"
    work = folder / f"out{processes}.private"
    command = [sys.executable, "-m", "plugin", "prepare", "site", str(folder / "archive"), str(out)]
    command += ["--reports", str(table), "--processes", str(processes), "--accept-all"]
    began = time.monotonic()
    seen: list[tuple[int, float]] = []
    with closing(Running(command)) as run:
        while run.is_alive:
            done = sum(1 for _ in (work / "records").glob("*.json")) if work.exists() else 0
            seen.append((done, run.megabytes()))
            time.sleep(PAUSE_S)
    collected = next((n for n, (done, _) in enumerate(seen) if done >= studies), len(seen))
    seconds = time.monotonic() - began
    return {
        "processes": processes,
        "studies": studies,
        "studies_a_minute": round(60 * studies / seconds, 1),
        "middle_mb": round(_peak(seen[:collected], 0.4 * studies, 0.6 * studies)),
        "last_mb": round(_peak(seen[:collected], 0.8 * studies, studies)),
    }


def _peak(seen: Sequence[tuple[int, float]], first: float, last: float) -> float:
    return max((mb for done, mb in seen if first <= done < last), default=0.0)


class Running:
    """A command at work, with all processes that it starts."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def megabytes(self) -> float:
        """Memory that none of them shares, and their part of what they share (PSS)."""
        return sum(_pss_mb(pid) for pid in _family(self._process.pid))

    def close(self) -> None:
        self._process.kill()
        if self._process.wait() not in (0, -9):
            raise SystemExit(f"the command ended with status {self._process.returncode}")


def _family(pid: int) -> Iterator[int]:
    yield pid
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = path.read_text().split()
        except OSError:  # the thread has ended
            continue
        for child in children:
            yield from _family(int(child))


def _pss_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # the process has ended
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


if __name__ == "__main__":
    main()
