"""Readers in the reading room while studies arrive and are drafted: `python -m bench.web`.

The whole service runs as `ctscribe serve` runs it, with the embedded model. Four associations send
studies, slice by slice, as fast as `--rate` says; by turns alone, and while so many readers page
through the list and through studies. A page is what a browser asks for: the list; or a study with
its draft, its review, the metadata of its series, and three images. A reader looks at each for as
long as `--looks` says.
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
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from bench.senders import Slice, Store, read_study, send
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
    parser.add_argument("--turns", type=int, default=3, help="how often alone, then beside")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each turn")
    parser.add_argument(
        "--rate",
        type=float,
        default=25.0,  # as a CT reconstructs; four of them bring a study of 300 every 3 s
        help="slices a second of each association; 0 as fast as each is acknowledged",
    )
    parser.add_argument("--looks", type=float, default=10.0, help="seconds at each page")
    parser.add_argument("--folder", type=Path, help="where the service keeps all it has")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=options.folder) as folder,
        serving(Path(folder), options.readers) as ports,
    ):
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


def phantoms(folder: Path) -> list[list[Slice]]:
    """Slices of three patients, to be sent again and again under new UIDs."""
    studies = (write_study(make_phantom(seed), folder / str(seed)) for seed in range(3))
    return [read_study(study) for study in studies]


async def read(address: str, name: str, ends: float, looks_s: float) -> list[tuple[str, float]]:
    """Page through the list and studies; returns how long each page took."""
    chance, took = random.Random(name), []
    # Shorter than the server keeps a connection: nobody asks over one that is just closed
    kept = httpx.Limits(keepalive_expiry=2)
    async with httpx.AsyncClient(
        base_url=address, cookies={COOKIE: name}, timeout=60, limits=kept
    ) as browser:
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


def read_all(address: str, readers: int, ends: float, looks_s: float) -> list[tuple[str, float]]:
    """Let all readers page; returns how long each page took."""

    async def everybody() -> list[list[tuple[str, float]]]:
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


@dataclass
class Measured:
    """What one part of the run found."""

    stores: list[Store] = field(default_factory=list)
    pages: list[tuple[str, float]] = field(default_factory=list)
    seconds: float = 0.0


def measure(
    ports: tuple[int, int], options: argparse.Namespace, studies: Sequence[Sequence[Slice]]
) -> dict[str, Any]:
    """Store alone and beside readers, by turns, so that both meet the same noise."""
    dicom, web = ports
    alone, beside = Measured(), Measured()
    every_s = 1 / options.rate if options.rate else 0.0
    # In processes of their own: what they do takes no time from one another's interpreter
    with ProcessPoolExecutor(
        options.associations + 1, multiprocessing.get_context("spawn")
    ) as elsewhere:
        for part in (Measured(), *(alone, beside) * options.turns):
            # The first part is for nobody: processes start, and there is something to read
            ends = time.monotonic() + options.seconds
            sent = [
                elsewhere.submit(
                    send, dicom, studies[k % 3 :] + studies[: k % 3], ends, every_s=every_s
                )
                for k in range(options.associations)
            ]
            if part is beside:
                asked = (f"http://127.0.0.1:{web}", options.readers, ends, options.looks)
                part.pages += elsewhere.submit(read_all, *asked).result()
            part.stores += [store for one in sent for store in one.result()]
            part.seconds += options.seconds
    return summary(alone, beside)


def summary(alone: Measured, beside: Measured) -> dict[str, Any]:
    """Return the figures of both parts."""
    found: dict[str, Any] = {"processors": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    for where, of in (("sender", lambda one: one.took_s), ("receiver", at_receiver)):
        quiet, busy = (sorted(map(of, part.stores)) for part in (alone, beside))
        median = statistics.median(quiet)
        found |= {
            f"at the {where}: median alone, ms": _ms(median),
            f"at the {where}: median beside readers, ms": _ms(statistics.median(busy)),
            f"at the {where}: 99th percentile beside readers, ms": _ms(_percentile(busy, 99)),
            f"at the {where}: over 3 quiet medians alone, %": _share(quiet, 3 * median),
            f"at the {where}: over 3 quiet medians beside readers, %": _share(busy, 3 * median),
            f"at the {where}: slowest alone, of its medians": round(quiet[-1] / median, 1),
            f"at the {where}: slowest beside readers, of quiet medians": round(
                busy[-1] / median, 1
            ),
        }
    found["stores a second, alone and beside"] = [
        round(len(part.stores) / part.seconds, 1) for part in (alone, beside)
    ]
    for kind in ("list", "study"):
        took = [seconds for page, seconds in beside.pages if page == kind]
        found[f"pages: {kind}, count"] = len(took)
        if len(took) > 1:
            found[f"pages: {kind}, median ms"] = _ms(statistics.median(took))
            found[f"pages: {kind}, 95th percentile ms"] = _ms(_percentile(took, 95))
    return found


def at_receiver(store: Store) -> float:
    return store.at_receiver_s


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 1)


def _percentile(values: Sequence[float], which: int) -> float:
    return statistics.quantiles(values, n=100)[which - 1]


def _share(values: Sequence[float], limit: float) -> float:
    return round(100 * sum(one > limit for one in values) / len(values), 2)


if __name__ == "__main__":
    main()
