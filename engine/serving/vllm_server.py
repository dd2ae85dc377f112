"""A vLLM server that runs beside us: started, watched, started again, and ended with us."""

from __future__ import annotations

import ctypes
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from dicom_io.errors import EngineError
from engine.checkpoints.llm_export import exported_digest, served_name

LOGGER = logging.getLogger(__name__)

MODULE = "vllm.entrypoints.openai.api_server"
"""What is started: its command `vllm` fails in the package for processors without a GPU."""

OPTIONS = (
    "--enable-prompt-embeds",
    "--no-enable-prefix-caching",  # vllm#56655: mixed with embeddings it gave wrong texts
    "--generation-config=vllm",  # every request says how its tokens are chosen
)

STARTS_S = 1800.0
"""The largest models take minutes to load and to compile."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Before it is started again; twice as long every time that it dies early."""

STEADY_S = 600.0
"""Who has run for so long did not die early."""

DRAIN_S = 15.0
"""Between SIGTERM and SIGKILL."""

_PR_SET_PDEATHSIG = 1  # Linux, prctl.h


class VllmServer:
    """Runs vLLM on a free port of loopback, with a token that nobody else knows.

    Parameters
    ----------
    folder : Path
        What `engine.checkpoints.llm_export` wrote.
    python : Path, optional
        Of the environment that vLLM is installed in, where it is not this one.
    options : sequence of str
        Further ones of vLLM's command line.

    Raises
    ------
    CheckpointMismatch
        The folder was not exported.
    """

    def __init__(self, folder: Path, python: Path | None = None, options: Sequence[str] = ()):
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.token = secrets.token_urlsafe()
        name = served_name(exported_digest(folder))
        where = [f"--model={folder}", f"--served-model-name={name}"]
        address = ["--host=127.0.0.1", f"--port={port}"]
        program = [str(python or sys.executable), "-m", MODULE]
        self._command = [*program, *where, *address, *OPTIONS, *options]
        self._closing = threading.Event()
        self._ready = False
        self._lost = threading.Event()
        self._fault = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher = threading.Thread(target=self._watch, name="vllm", daemon=True)

    def __enter__(self) -> Self:
        """Start it, and wait until it can write.

        Raises
        ------
        EngineError
            It ended before, or took too long.
        """
        self._watcher.start()
        try:
            self._await_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it."""
        self.close()

    def close(self) -> None:
        """End it, and all that it has started."""
        self._closing.set()
        if self._process is not None:
            _signal(self._process, signal.SIGTERM)
            try:
                self._process.wait(DRAIN_S)
            except subprocess.TimeoutExpired:
                LOGGER.warning("vLLM did not end by itself within %.0f s", DRAIN_S)
            _signal(self._process, signal.SIGKILL)
        self._watcher.join()

    def _await_ready(self) -> None:
        deadline = time.monotonic() + STARTS_S
        while time.monotonic() < deadline:
            if self._lost.wait(0.25):
                raise EngineError(self._fault)
            try:
                if httpx.get(f"{self.url}/health", timeout=5.0).is_success:
                    self._ready = True
                    return
            except httpx.HTTPError:
                continue
        raise EngineError(f"vLLM could not write after {STARTS_S:.0f} s")

    def _watch(self) -> None:
        """Start it, again and again. The kernel ends it with this thread, so the thread stays."""
        pause_s = FIRST_PAUSE_S
        while not self._closing.is_set():
            started = time.monotonic()
            try:
                self._process = self._start()
            except OSError as error:
                self._give_up(f"vLLM cannot be started: {error.strerror}")
                return
            status = self._process.wait()
            _signal(self._process, signal.SIGKILL)  # what it left behind
            if self._closing.is_set():
                return
            if not self._ready:
                self._give_up(f"vLLM ended with status {status}; its own lines above say why")
                return
            if time.monotonic() - started > STEADY_S:
                pause_s = FIRST_PAUSE_S
            LOGGER.error("vLLM ended with status %d: it is started again", status)
            self._closing.wait(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _give_up(self, fault: str) -> None:
        self._fault = fault
        LOGGER.error("%s", fault)
        self._lost.set()

    def _start(self) -> subprocess.Popen[bytes]:
        own = {
            "VLLM_API_KEY": self.token,
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
        }
        # it has an environment of its own, with other versions of the same packages
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        parent = os.getpid()
        process = subprocess.Popen(
            self._command,
            env={**kept, **own},
            stdin=subprocess.DEVNULL,
            preexec_fn=lambda: _die_with(parent),
            start_new_session=True,
        )
        LOGGER.info("process %d: vLLM at %s", process.pid, self.url)
        return process


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when the one that started it dies, even of SIGKILL."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to a process and all that it has started."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
