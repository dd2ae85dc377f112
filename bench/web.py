"""Readers in the reading room while studies arrive and are drafted: `python -m bench.web`.

The whole service runs as `ctscribe serve` runs it, with the embedded model. Four associations send
studies, slice by slice; first alone, then while so many readers page through the list and through
studies. A page is what a browser asks for: the list; or a study with its draft, its review, the
metadata of its series, and three images. A reader looks at each for as long as `--looks` says.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid
from pynetdicom import AE

from dicom_io.phantoms.dicom_study import write_study
from dicom_io.phantoms.phantom import make_phantom
from plugin.assembly import open_sessions
from plugin.settings import load_settings
from plugin.state.kept.people import Person, SignIn
from plugin.supervisor import CTSCRIBE
from plugin.web.access.gate import COOKIE
from tests.ports import free_port

ROOT = "/dicom-web/studies"
LISTED = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--readers", type=int, default=50)
    parser.add_argument("--associations", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each of the two parts")
    parser.add_argument("--looks", type=float, default=10.0, help="seconds at each page")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), options.readers) as ports:
        found = measure(ports, options, phantoms(Path(folder)))
    for name, value in found.items():
        print(f"{name:44} {value}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


@contextmanager
def serving(folder: Path, readers: int) -> Iterator[tuple[int, int]]:
    """Run a service in which readers are signed in; yields the ports of DICOM and HTTP."""
    dicom, web = free_port(), free_port()
    path = folder / "ctscribe.toml"
    path.write_text(
        f"[receiver]\nport = {dicom}\n[completeness]\nquiet_s = 2.0\n[storage]\nspool = 'spool'\n"
        f"floor_mb = 1\n[metrics]\nenabled = false\n[web]\nenabled = true\nport = {web}\n",
        encoding="utf-8",
    )
    now, sessions = datetime.now(UTC), open_sessions(load_settings(path))
    with sessions.begin() as session:
        for one in map(str, range(readers)):
            session.add(Person(name=one, display_name=one, roles=["radiologist"], password=""))
            digest = hashlib.sha256(one.encode()).hexdigest()
            session.add(SignIn(digest=digest, person_name=one, csrf="", began_at=now, used_at=now))
    sessions.kw["bind"].dispose()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (folder / "log").open("wb") as log:
        command = [*CTSCRIBE, "serve", "-c", str(path)]
        service = subprocess.Popen(command, env=environment, stderr=log)
    try:
        _await(f"http://127.0.0.1:{web}/api/session")
        yield dicom, web
    finally:
        service.terminate()
        service.wait(60)


def _await(address: str) -> None:
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        try:
            httpx.get(address)
        except httpx.TransportError:
            time.sleep(0.2)
        else:
            return
    sys.exit("the service did not start")


def phantoms(folder: Path) -> list[list[Dataset]]:
    """Slices of three patients, to be sent again and again under new UIDs."""
    made = []
    for seed in range(3):
        study = write_study(make_phantom(seed), folder / str(seed))
        made.append([dcmread(one) for one in sorted(study.iterdir())])
    return made


class Senders:
    """Associations that send studies, one slice after another, until they are told to stop."""

    def __init__(self, port: int, count: int, studies: Sequence[Sequence[Dataset]]) -> None:
        self._port, self._studies = port, studies
        self._ended = threading.Event()
        self.took_s: list[float] = []
        self._threads = [threading.Thread(target=self._run, args=(k,)) for k in range(count)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> list[float]:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        return self.took_s

    def _run(self, number: int) -> None:
        chance = random.Random(number)
        while not self._ended.is_set():
            self._send(chance.choice(self._studies))

    def _send(self, slices: Sequence[Dataset]) -> None:
        study, series = generate_uid(), generate_uid()
        sender = AE("BENCH")
        sender.add_requested_context(slices[0].SOPClassUID, slices[0].file_meta.TransferSyntaxUID)
        assoc = sender.associate("127.0.0.1", self._port, ae_title="CTSCRIBE")
        # On a busy machine pynetdicom's own thread may take an answer that the sender waits for
        assoc._serve_request = lambda answer, context: assoc.dimse.msg_queue.put((context, answer))
        for one in slices:
            if self._ended.is_set():
                break
            one = one.copy()
            one.StudyInstanceUID, one.SeriesInstanceUID = study, series
            one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            began = time.perf_counter()
            status = assoc.send_c_store(one)
            self.took_s.append(time.perf_counter() - began)
            if status.Status != 0:
                sys.exit(f"a slice was refused with status {status.Status:#06x}")
        assoc.release()


async def read(address: str, name: str, ends: float, looks_s: float) -> list[tuple[str, float]]:
    """Page through the list and studies; returns how long each page took."""
    chance, took = random.Random(name), []
    async with httpx.AsyncClient(base_url=address, cookies={COOKIE: name}, timeout=60) as browser:
        await asyncio.sleep(chance.uniform(0, looks_s))
        while time.monotonic() < ends:
            began = time.perf_counter()
            listed = await _json(browser, f"/api/worklist?limit={LISTED}")
            took.append(("list", time.perf_counter() - began))
            await asyncio.sleep(looks_s)
            studies = [one for one in listed["studies"] if one["state"] != "receiving"]
            if studies:
                began = time.perf_counter()
                await _open(browser, chance.choice(studies)["study_instance_uid"])
                took.append(("study", time.perf_counter() - began))
                await asyncio.sleep(looks_s)
    return took


def read_all(address: str, readers: int, seconds: float, looks_s: float) -> list[tuple[str, float]]:
    """Let all readers page; returns how long each page took."""

    async def everybody() -> list[list[tuple[str, float]]]:
        ends = time.monotonic() + seconds
        names = map(str, range(readers))
        return await asyncio.gather(*(read(address, name, ends, looks_s) for name in names))

    return [one for reader in asyncio.run(everybody()) for one in reader]


async def _json(browser: httpx.AsyncClient, path: str) -> Any:
    answer = await browser.get(path, headers={"Accept": "application/json"})
    return answer.json() if answer.status_code == 200 else {"studies": []}


async def _open(browser: httpx.AsyncClient, study: str) -> None:
    """What the study page asks for until its first images are there."""
    told, *_ = await asyncio.gather(
        *(_json(browser, f"/api/studies/{study}{of}") for of in ("", "/draft", "/review"))
    )
    series = told["series"][0]["series_instance_uid"]
    at = f"{ROOT}/{study}/series/{series}"
    answer = await browser.get(f"{at}/metadata", headers={"Accept": "application/dicom+json"})
    instances = [one["00080018"]["Value"][0] for one in answer.json()]
    middle = len(instances) // 2
    await asyncio.gather(
        *(
            browser.get(f"{at}/instances/{one}/frames/1", headers={"Accept": "*/*"})
            for one in instances[middle : middle + 3]
        )
    )


def measure(
    ports: tuple[int, int], options: argparse.Namespace, studies: Sequence[Sequence[Dataset]]
) -> dict[str, Any]:
    """Store alone, then beside readers."""
    dicom, web = ports
    alone = Senders(dicom, options.associations, studies)
    time.sleep(options.seconds)
    quiet = alone.stop()
    beside = Senders(dicom, options.associations, studies)

    address = f"http://127.0.0.1:{web}"
    # In a process of their own: what browsers do takes no time from who sends
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as elsewhere:
        asked = (address, options.readers, options.seconds, options.looks)
        pages = elsewhere.submit(read_all, *asked).result()
    busy = beside.stop()
    median = statistics.median(quiet)
    found: dict[str, Any] = {
        "stores alone, median ms": _ms(median),
        "stores beside readers, median ms": _ms(statistics.median(busy)),
        "stores beside readers, 99th percentile ms": _ms(_percentile(busy, 99)),
        "slowest store beside readers, of quiet medians": round(max(busy) / median, 1),
        "slowest store alone, of its medians": round(max(quiet) / median, 1),
        "share of stores over 3 quiet medians, %": _share(busy, 3 * median),
        "stores a second, alone and beside": [
            round(len(one) / options.seconds, 1) for one in (quiet, busy)
        ],
    }
    for kind in ("list", "study"):
        took = [seconds for page, seconds in pages if page == kind]
        found[f"pages: {kind}, count"] = len(took)
        found[f"pages: {kind}, median ms"] = _ms(statistics.median(took))
        found[f"pages: {kind}, 95th percentile ms"] = _ms(_percentile(took, 95))
    return found


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 1)


def _percentile(values: Sequence[float], which: int) -> float:
    return statistics.quantiles(values, n=100)[which - 1]


def _share(values: Sequence[float], limit: float) -> float:
    return round(100 * sum(one > limit for one in values) / len(values), 2)


if __name__ == "__main__":
    main()
