"""Slices per second through the receiver, beside DCMTK's storescp and Orthanc, in one run.

    python -m bench.intake              one and four associations, medians and ratios
    python -m bench.intake --memory     the receiver's memory over 10,000 slices

The sender is DCMTK's storescu for all of them, one process an association; every round sends new
instances. Only the receiver of this project promises that an acknowledged instance is fsynced and
in a database.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

STORESCU = "/usr/bin/storescu"
STORESCP = "/usr/bin/storescp"
# Without it every acknowledgement of DCMTK waits 40 ms for the kernel
ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1", "OMP_NUM_THREADS": "1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slices", type=int, default=160, help="slices a round")
    parser.add_argument("--processes", type=int, default=1, help="receiver processes of ours")
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary folder")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(*options.serve, share_port=options.processes > 1)
        return
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bench-intake-") as folder:
        if options.memory:
            measure_memory(Path(folder))
        else:
            compare(Path(folder), options.rounds, options.slices, options.processes)


def compare(folder: Path, rounds: int, slices: int, processes: int) -> None:
    """Time every receiver in turn, round after round, and print medians and ratios."""
    rates: dict[tuple[str, int], list[float]] = {}
    with ExitStack() as stack:
        ports = {
            "ctscribe": stack.enter_context(our_receiver(folder / "ours", processes))[0],
            "storescp": stack.enter_context(storescp(folder / "storescp")),
            "orthanc": stack.enter_context(orthanc(folder / "orthanc")),
        }
        for _ in range(rounds):
            for associations in (1, 4):
                for name, port in ports.items():
                    folders = write_slices(folder / "sent", slices, associations)
                    rate = slices / seconds(lambda: send(port, folders))  # noqa: B023
                    rates.setdefault((name, associations), []).append(rate)
                    shutil.rmtree(folder / "sent")
    print(f"slices/s of 512 x 512 int16, medians of {rounds} rounds (lowest-highest)")
    for associations in (1, 4):
        ours = statistics.median(rates["ctscribe", associations])
        for name in ports:
            all_ = rates[name, associations]
            median = statistics.median(all_)
            print(
                f"{associations} association(s)  {name:9}{median:7.0f}  "
                f"({min(all_):.0f}-{max(all_):.0f})  ctscribe/{name} {ours / median:.2f}"
            )


def measure_memory(folder: Path, slices: int = 10_000, step: int = 500) -> None:
    """Print the receiver's resident memory while 10,000 slices arrive over four associations."""
    with our_receiver(folder / "ours", 1) as (port, pids):
        for sent in range(0, slices + 1, step):
            if sent:
                folders = write_slices(folder / "sent", step, 4)
                send(port, folders)
                shutil.rmtree(folder / "sent")
                # The disk is not what is measured: known paths stay in the database
                shutil.rmtree(folder / "ours" / "instances")
                (folder / "ours" / "instances").mkdir()
            print(f"{sent:6} slices  {resident_mb(pids[0]):6.0f} MB", flush=True)


def write_slices(folder: Path, slices: int, associations: int) -> list[Path]:
    """Write slices of one new study, in one folder for every association."""
    template, old = template_slice()
    study, series = new_uid(), new_uid()
    folders = [folder / str(number) for number in range(associations)]
    for one in folders:
        one.mkdir(parents=True)
    for number in range(slices):
        head = template[:2048]
        for was, uid in zip(old, (study, series, new_uid()), strict=True):
            head = head.replace(was, uid)
        (folders[number % associations] / f"{number}.dcm").write_bytes(head + template[2048:])
    return folders


def template_slice() -> tuple[bytes, tuple[bytes, bytes, bytes]]:
    """A CT slice whose pixels are a formula, and the UIDs in it that are to be replaced."""
    old = (new_uid(), new_uid(), new_uid())
    y, x = np.mgrid[0:512, 0:512]
    dataset = Dataset()
    dataset.SOPClassUID = CTImageStorage
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = (
        uid.decode() for uid in old
    )
    dataset.Modality = "CT"
    dataset.PatientName = dataset.PatientID = dataset.AccessionNumber = "BENCH"
    dataset.Rows = dataset.Columns = 512
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation, dataset.SamplesPerPixel = 15, 1, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = ((x * y) % 2000 - 1000).astype("<i2").tobytes()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
        dataset.save_as(file.name, enforce_file_format=True)
        return Path(file.name).read_bytes(), old


def new_uid() -> bytes:
    """A UID of always the same length, so that one replaces another in place."""
    return (
        generate_uid(prefix="1.2.826.0.1.3680043.8.498.")[:40].rstrip(".").ljust(40, "1").encode()
    )


def send(port: int, folders: list[Path]) -> None:
    """Send every folder in an association of its own, all at the same time."""
    command = [STORESCU, "-R", "-xe", "-pdu", "131072", "+sd", "-aec", "BENCH", "127.0.0.1"]
    senders = [
        subprocess.Popen([*command, str(port), str(one)], env=ENVIRONMENT) for one in folders
    ]
    statuses = [sender.wait() for sender in senders]
    if any(statuses):
        raise SystemExit("storescu failed")


def seconds(call: Callable[[], None]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


@contextmanager
def our_receiver(folder: Path, processes: int) -> Iterator[tuple[int, list[int]]]:
    port = free_port()
    folder.mkdir()
    command = [sys.executable, "-m", "bench.intake", "--processes", str(processes), "--serve"]
    arguments = [f"sqlite:///{folder / 'ctscribe.db'}", str(folder), str(port)]
    with ExitStack() as stack:
        running = [stack.enter_context(process([*command, *arguments])) for _ in range(processes)]
        wait_for(port)
        yield port, [one.pid for one in running]


def serve(url: str, folder: str, port: str, *, share_port: bool) -> None:
    from plugin.database import open_database, session_factory
    from plugin.receiver import run_receiver, waiting_of
    from plugin.service import stop_on_signals
    from plugin.spool import Spool

    run_receiver(
        session_factory(open_database(url)),
        Spool(Path(folder)),
        stop_on_signals(),
        port=int(port),
        waiting=waiting_of(3600.0, 7200.0),
        share_port=share_port,
    )


@contextmanager
def storescp(folder: Path) -> Iterator[int]:
    folder.mkdir()
    port = free_port()
    command = [STORESCP, "--fork", "-pdu", "131072", "-od", str(folder), "-aet", "BENCH", str(port)]
    with process(command):
        wait_for(port)
        yield port


@contextmanager
def orthanc(folder: Path) -> Iterator[int]:
    folder.mkdir()
    port = free_port()
    settings = {
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "DicomPort": port,
        "DicomAet": "BENCH",
        "HttpPort": free_port(),
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowStore": True,
        "DicomThreadsCount": 8,
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with process(["Orthanc", str(folder / "orthanc.json")], stderr=subprocess.DEVNULL):
        wait_for(port)
        yield port


@contextmanager
def process(command: list[str], stderr: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    running = subprocess.Popen(command, env=ENVIRONMENT, stderr=stderr)
    try:
        yield running
    finally:
        running.terminate()
        running.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, patience_s: float = 60.0) -> None:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit(f"nothing listens on port {port}")


def resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
