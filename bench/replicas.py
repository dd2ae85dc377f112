"""Requests a second of 1, 2 and 4 replicas on Ray Serve whose engine sleeps: is the rate linear?

    python -m bench.replicas --delay 0.5 --seconds 8

Ray runs on this host alone, bound to loopback. The engine is the fake one; it takes the delay for
each request, and no processor. So what is measured is how requests are shared out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import httpx
import numpy as np

from dicom_io.model_input.preprocess import ModelInput
from engine.fake import FakeEngine
from engine.serving.client import RemoteEngine

REPLICAS = (1, 2, 4)
# So many requests of each replica are under way: one that works, and one that waits for it
IN_HAND = 2
_START_S = 120.0
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",  # or Ray writes a token to the home folder
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # binds loopback alone
}


def rates(replicas: Sequence[int], delay_s: float, seconds: float) -> dict[int, float]:
    """Return requests a second for each number of replicas.

    Parameters
    ----------
    replicas : sequence of int
        How many, one measurement each.
    delay_s : float
        What the engine takes for a request, in seconds.
    seconds : float
        How long requests are begun.
    """
    found = {}
    with _cluster(max(replicas)) as url:
        for number in replicas:
            _deploy(number, delay_s, url)
            found[number] = _rate(url, IN_HAND * number, seconds)
    return found


@contextmanager
def _cluster(replicas: int) -> Iterator[str]:
    """Run Ray with a processor for each replica, as it counts them; yields Serve's address."""
    import ray
    from ray import serve

    port = _free_port()
    sockets = tempfile.mkdtemp(prefix="ray")  # their names must be short
    ray.init(
        num_cpus=2 * replicas,
        object_store_memory=80 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        _temp_dir=sockets,
    )
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        yield f"http://127.0.0.1:{port}"
    finally:
        serve.shutdown()
        ray.shutdown()
        shutil.rmtree(sockets, ignore_errors=True)


def _deploy(number: int, delay_s: float, url: str) -> None:
    from ray import serve

    from engine.serving.ray_serve import Arguments, Replica

    # In batches the fake engine would sleep once for several
    arguments = Arguments(model=f"fake:{delay_s:g}", batch=1)
    deployed = Replica.options(num_replicas=number, max_ongoing_requests=IN_HAND)  # type: ignore[attr-defined]
    serve.run(deployed.bind(arguments))
    until = time.monotonic() + _START_S
    while not httpx.get(f"{url}/ready").is_success:
        if time.monotonic() > until:
            raise SystemExit("the replicas are not ready")
        time.sleep(0.1)


def _rate(url: str, askers: int, seconds: float) -> float:
    """Ask with so many threads; what counts is the time from an answer to the last one."""
    client, stop = RemoteEngine(url, patience_s=60), threading.Event()
    spec, different, answered = FakeEngine().preprocess, count(), list[float]()

    def ask() -> None:
        while not stop.is_set():
            # A server answers the same request once, however often it is asked
            pixels = np.full((1, *spec.size), next(different) / 1e6, np.float32)
            client.report(ModelInput(pixels, spec, np.eye(4), ()))
            answered.append(time.perf_counter())

    threads = [threading.Thread(target=ask) for _ in range(askers)]
    for thread in threads:
        thread.start()
    while len(answered) < 2 * askers:  # each replica has begun, and has the next request in hand
        time.sleep(0.05)
    first = len(answered) - 1
    time.sleep(seconds)
    last = len(answered) - 1
    stop.set()
    for thread in threads:
        thread.join()
    client.close()
    return (last - first) / (answered[last] - answered[first])


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--delay", type=float, default=0.5, help="seconds of a request")
    parser.add_argument("--seconds", type=float, default=8.0, help="of asking, each time")
    parser.add_argument("--replicas", type=int, nargs="+", default=REPLICAS)
    parser.add_argument("--record", type=Path, help="write the figures to this file, too")
    options = parser.parse_args()
    os.environ.update(_QUIET)
    found = rates(options.replicas, options.delay, options.seconds)
    one = found[min(found)] / min(found)
    told = {
        "delay_s": options.delay,
        "requests_a_second": {number: round(rate, 2) for number, rate in found.items()},
        "of_linear": {number: round(rate / (number * one), 3) for number, rate in found.items()},
    }
    print(json.dumps(told, indent=1))
    if options.record:
        options.record.write_text(json.dumps(told, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
