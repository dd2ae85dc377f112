"""Slices per second through the receiver, beside DCMTK's storescp and Orthanc, in one run.

    python -m bench.intake                  one and four associations, medians and ratios
    python -m bench.intake --before REV     with the receiver of an earlier revision beside it
    python -m bench.intake --profile        where the receiver's processor time goes
    python -m bench.intake --memory         the receiver's memory over 10,000 slices

The sender is DCMTK's storescu for all of them, one process an association; every turn sends new
instances, and begins when the disk has written all that the turns before left in memory. Only the
receiver of this project promises that an acknowledged instance is fsynced and in a database.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

ROOT = Path(__file__).parents[1]
STORESCU = "/usr/bin/storescu"
STORESCP = "/usr/bin/storescp"
# Without it every acknowledgement of DCMTK waits 40 ms for the kernel
ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1", "OMP_NUM_THREADS": "1"}

Receiver = tuple[int, list[int]]
"""Port, and process ids."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slices", type=int, default=400, help="slices a turn")
    parser.add_argument("--processes", type=int, default=1, help="receiver processes of ours")
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary folder")
    parser.add_argument("--before", help="revision whose receiver is measured in the same turns")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        with profiled() if options.profile else nullcontext():
            serve(*options.serve, share_port=options.processes > 1)
        return
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bench-intake-") as folder:
        if options.memory:
            measure_memory(Path(folder))
        elif options.profile:
            profile(Path(folder), options.rounds, options.slices)
        else:
            compare(Path(folder), options)


def compare(folder: Path, options: argparse.Namespace) -> None:
    """Time every receiver in turn, round after round, and print medians and ratios."""
    rounds, slices, processes = options.rounds, options.slices, options.processes
    rates: dict[tuple[str, int], list[float]] = {}
    with ExitStack() as stack:
        receivers = {"ctscribe": stack.enter_context(our_receiver(folder / "ours", processes))}
        if options.before:
            source = stack.enter_context(checked_out(options.before, folder / "source"))
            before = our_receiver(folder / "before", processes, source=source)
            receivers["before"] = stack.enter_context(before)
        receivers["storescp"] = stack.enter_context(storescp(folder / "storescp"))
        receivers["orthanc"] = stack.enter_context(orthanc(folder / "orthanc"))
        idle_s = {name: cpu_s(pids) for name, (_, pids) in receivers.items()}
        for number in range(rounds):
            for associations in (1, 4):
                for name in rotated(list(receivers), number):
                    folders = write_slices(folder / f"sent{associations}", slices, associations)
                    os.sync()  # else an fsync waits for what others left in memory
                    taken_s = seconds(lambda: send(receivers[name][0], folders))  # noqa: B023
                    rates.setdefault((name, associations), []).append(slices / taken_s)
        sent = 2 * rounds * slices
        cpu_ms = {
            name: 1000 * (cpu_s(pids) - idle_s[name]) / sent
            for name, (_, pids) in receivers.items()
        }
    print(f"slices/s of 512 x 512 int16, medians of {rounds} rounds (lowest-highest)")
    for associations in (1, 4):
        for name in receivers:
            print(line(name, associations, rates))
    for name, used in cpu_ms.items():
        print(f"{name:9} {used:5.2f} ms CPU a slice")


def rotated(names: list[str], by: int) -> list[str]:
    """Whoever comes first in one round comes last in the next."""
    return names[by % len(names) :] + names[: by % len(names)]


def line(name: str, associations: int, rates: dict[tuple[str, int], list[float]]) -> str:
    """Say a receiver's rate, and the median of the rounds' ratios."""
    own = rates[name, associations]
    ours = rates["ctscribe", associations]
    ratio = statistics.median(a / b for a, b in zip(ours, own, strict=True))
    return (
        f"{associations} association(s)  {name:9}{statistics.median(own):7.0f}  "
        f"({min(own):.0f}-{max(own):.0f})  ctscribe/{name} {ratio:.2f}"
    )


def cpu_s(pids: list[int]) -> float:
    """Processor time that processes and their ended children have used (proc(5))."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(ticks) for one in fields for ticks in one[11:15]) / os.sysconf("SC_CLK_TCK")


def measure_memory(folder: Path, slices: int = 10_000, step: int = 500) -> None:
    """Print the receiver's resident memory while 10,000 slices arrive over four associations."""
    with our_receiver(folder / "ours", 1) as (port, pids):
        for sent in range(0, slices + 1, step):
            if sent:
                send(port, write_slices(folder / "sent", step, 4))
                # The disk is not what is measured: known paths stay in the database
                shutil.rmtree(folder / "ours" / "instances")
                (folder / "ours" / "instances").mkdir()
            print(f"{sent:6} slices  {resident_mb(pids[0]):6.0f} MB", flush=True)


def write_slices(folder: Path, slices: int, associations: int) -> list[Path]:
    """Write slices of one new study, in one folder for every association.

    Over those of the turn before: ext4 looks long for an inode where many were just deleted.
    """
    template, old = template_slice()
    study, series = new_uid(), new_uid()
    folders = [folder / str(number) for number in range(associations)]
    for one in folders:
        one.mkdir(parents=True, exist_ok=True)
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


# Where the processor time of a slice may go: what is wrapped, and how the record calls it
STEPS = {
    "read from the socket": (
        "plugin.reception.association.patient_socket",
        "PatientSocket._receive",
    ),
    "hash": ("plugin.state.files.incoming", "IncomingFile._hash"),
    "write the file": ("plugin.state.files.incoming", "IncomingFile._write"),
    "make the file": ("plugin.state.files.spool", "Spool.begin_instance"),
    "read the header": ("plugin.reception.instance_store", "InstanceStore._read_header"),
    "fsync the file": ("plugin.state.files.incoming", "IncomingFile.sync"),
    "name it, fsync the folder": ("plugin.state.files.spool", "Spool.keep_instance"),
    "record and commit": ("plugin.reception.committer", "Committer._record"),
    "forget the link": ("plugin.state.files.spool", "Spool.recorded"),
}


@contextmanager
def profiled() -> Iterator[None]:
    """Count the processor time of the steps; print it for each call of the last one, a slice."""
    spent: dict[str, float] = dict.fromkeys(STEPS, 0.0)
    calls: dict[str, int] = dict.fromkeys(STEPS, 0)
    inner = threading.local()
    begun: list[float] = []
    for step, (module, name) in STEPS.items():
        owner: Any = importlib.import_module(module)
        *path, last = name.split(".")
        for part in path:
            owner = getattr(owner, part)
        setattr(owner, last, counted(getattr(owner, last), step, spent, calls, inner, begun))
    yield
    # What starting takes comes before the first step
    begin = begun[0] if begun else time.process_time()
    total_s, slices = time.process_time() - begin, max(1, calls["forget the link"])
    spent["all the rest: threads, messages, interpreter"] = total_s - sum(spent.values())
    for step, seconds_ in sorted(spent.items(), key=lambda one: -one[1]):
        print(f"{1000 * seconds_ / slices:6.2f} ms CPU a slice: {step}")
    print(f"{1000 * total_s / slices:6.2f} ms CPU a slice, with the time that counting takes")


def counted(
    call: Callable[..., Any],
    step: str,
    spent: dict[str, float],
    calls: dict[str, int],
    inner: threading.local,
    begun: list[float],
) -> Callable[..., Any]:
    """Add a call's own processor time, without that of the steps inside it."""

    @functools.wraps(call)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if not begun:
            begun.append(time.process_time())
        outer, inner.s = getattr(inner, "s", 0.0), 0.0
        begin = time.thread_time()
        try:
            return call(*args, **kwargs)
        finally:
            used = time.thread_time() - begin
            spent[step] += used - inner.s
            calls[step] += 1
            inner.s = outer + used

    return wrapper


def profile(folder: Path, rounds: int, slices: int) -> None:
    """Send slices over one association and over four; the receiver prints where its time went."""
    for associations in (1, 4):
        print(f"{associations} association(s)", flush=True)
        ours = our_receiver(folder / str(associations), 1, "--profile")
        with ours as (port, _):
            for number in range(rounds):
                send(port, write_slices(folder / f"sent{number}", slices, associations))


@contextmanager
def checked_out(revision: str, folder: Path) -> Iterator[Path]:
    """An earlier revision in a folder of its own."""
    git = ["git", "worktree"]
    subprocess.run([*git, "add", "--detach", folder, revision], check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", folder], check=True)


@contextmanager
def our_receiver(
    folder: Path, processes: int, *options: str, source: Path = ROOT
) -> Iterator[Receiver]:
    port = free_port()
    folder.mkdir()
    command = [sys.executable, "-m", "bench.intake", "--processes", str(processes), *options]
    arguments = ["--serve", f"sqlite:///{folder / 'ctscribe.db'}", str(folder), str(port)]
    with ExitStack() as stack:
        running = [
            stack.enter_context(process([*command, *arguments], source=source))
            for _ in range(processes)
        ]
        wait_for(port)
        yield port, [one.pid for one in running]


def serve(url: str, folder: str, port: str, *, share_port: bool) -> None:
    from plugin.reception.receiver import run_receiver
    from plugin.state.completeness import Patience
    from plugin.state.database import open_database, session_factory
    from plugin.state.files.spool import Spool
    from plugin.supervisor import stop_on_signals

    run_receiver(
        session_factory(open_database(url)),
        Spool(Path(folder)),
        stop_on_signals(),
        port=int(port),
        patience=Patience.of_seconds(3600.0, 7200.0),
        share_port=share_port,
    )


@contextmanager
def storescp(folder: Path) -> Iterator[Receiver]:
    folder.mkdir()
    port = free_port()
    command = [STORESCP, "--fork", "-pdu", "131072", "-od", str(folder), "-aet", "BENCH", str(port)]
    with process(command) as running:
        wait_for(port)
        yield port, [running.pid]


@contextmanager
def orthanc(folder: Path) -> Iterator[Receiver]:
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
    command = ["Orthanc", str(folder / "orthanc.json")]
    with process(command, stderr=subprocess.DEVNULL) as running:
        wait_for(port)
        yield port, [running.pid]


@contextmanager
def process(
    command: list[str], stderr: int | None = None, source: Path = ROOT
) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**ENVIRONMENT, "PYTHONPATH": str(source)}
    running = subprocess.Popen(command, env=environment, stderr=stderr, cwd=source)
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
