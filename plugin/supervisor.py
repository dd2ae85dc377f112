"""The supervisor: starts the service's processes, starts dead ones again, stops all of them.

The processes share nothing but database and spool, so any of them may die at any moment.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from plugin.state.running.pulse import SILENT_S, STARTS_S

LOGGER = logging.getLogger(__name__)
# -P: without it the current folder comes first on sys.path, and a folder there that is called
# plugin or engine would run in place of ours
CTSCRIBE = (sys.executable, "-P", "-m", "plugin")
# How long the processes have to finish what is in hand; systemd gives the whole service more
PATIENCE_S = 15
# A process that died once is back at once; one that cannot start fills no log
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
# A process that has lived so long was healthy: the next pause is short again
HEALTHY_S = 60.0
_POLL_S = 0.1
_PR_SET_PDEATHSIG = 1  # Linux, prctl.h


@dataclass
class _Child:
    command: tuple[str, ...]
    name: str
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    beat: int | None = None
    heard: float = 0.0
    start_at: float = field(default_factory=time.monotonic)
    pause_s: float = field(default_factory=lambda: FIRST_PAUSE_S)


def supervise(
    commands: Sequence[Sequence[str]],
    *,
    program: Sequence[str] = CTSCRIBE,
    patience_s: float = PATIENCE_S,
    stop: threading.Event | None = None,
    last_beat: Callable[[str, int], int | None] = lambda *_: None,
    report: Callable[[str], None] = lambda _: None,
) -> None:
    """Keep one process running for every command, until SIGTERM, SIGINT or `stop`.

    A process that is not heard any more, because it was stopped or hangs, is killed and replaced.

    Parameters
    ----------
    commands : sequence of sequence of str
        Arguments of `ctscribe`, one sequence a process.
    program : sequence of str
        What the arguments are given to.
    patience_s : float
        How long the processes have to end after SIGTERM; then they are killed.
    stop : threading.Event, optional
        Set it to stop; without one, signals do, and only the main thread may call this.
    last_beat : callable
        Tells for a command's first word and a process id when it was last heard; None if never.
    report : callable
        Told in a sentence that a process was replaced.
    """
    stop = stop_on_signals() if stop is None else stop
    children = [_Child((*program, *command), " ".join(command)) for command in commands]
    try:
        with reread_on_hangup(partial(_pass_on_hangup, children)):
            while not stop.wait(_POLL_S):
                for child in children:
                    _look_after(child)
                    if _is_silent(child, last_beat):
                        _replace(child, report)
    finally:
        _end(children, patience_s)


def _pass_on_hangup(children: Sequence[_Child]) -> None:
    """Workers read the settings file again; no other process has anything to read."""
    for child in children:
        if child.process is not None and child.name.partition(" ")[0] == "work":
            child.process.send_signal(signal.SIGHUP)


def _look_after(child: _Child) -> None:
    now = time.monotonic()
    if child.process is None:
        if now >= child.start_at:
            _start(child)
        return
    status = child.process.poll()
    if status is None:
        return
    child.pause_s = FIRST_PAUSE_S if now - child.started > HEALTHY_S else child.pause_s
    # Status 0 is a wish of its own, such as another model that was promoted
    LOGGER.log(
        logging.ERROR if status else logging.INFO,
        "process %d ended with status %d, starts again in %.1f s",
        child.process.pid,
        status,
        child.pause_s,
    )
    child.process = None
    child.start_at = now + child.pause_s
    child.pause_s = min(2 * child.pause_s, LONGEST_PAUSE_S)


def _is_silent(child: _Child, last_beat: Callable[[str, int], int | None]) -> bool:
    """Whether nothing was heard of a running process for too long, by the clock nobody sets."""
    if child.process is None:
        return False
    beat, now = last_beat(child.name.partition(" ")[0], child.process.pid), time.monotonic()
    if beat != child.beat:
        child.beat, child.heard = beat, now
    # Before its first word it loads what it needs; it says so by itself if that takes long
    return now - child.heard > (STARTS_S if beat is None else SILENT_S)


def _replace(child: _Child, report: Callable[[str], None]) -> None:
    assert child.process is not None
    pid, silent_s = child.process.pid, time.monotonic() - child.heard
    message = f"process {pid} ({child.name}) was silent for {silent_s:.0f} s: it is replaced"
    LOGGER.error("%s", message)
    child.process.kill()  # even one that is stopped
    child.process.wait()
    try:
        report(message)
    except Exception as error:  # noqa: BLE001  whatever the database does, the service goes on
        LOGGER.error("the alert could not be recorded: %s", type(error).__name__)


def _start(child: _Child) -> None:
    parent = os.getpid()
    # A group of its own, as Ctrl-C is for this process; in the same session, since Linux may share
    # time out among sessions first, whoever steps back in them (sched(7), autogroup)
    child.process = subprocess.Popen(
        child.command, preexec_fn=partial(_die_with, parent), process_group=0
    )
    child.started = child.heard = time.monotonic()
    child.beat = None
    LOGGER.info("process %d: %s", child.process.pid, child.name)


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when the supervisor dies, even of SIGKILL."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def _end(children: Sequence[_Child], patience_s: float) -> None:
    running = [child.process for child in children if child.process is not None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + patience_s
    for process in running:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set; for the main thread of a process."""
    stop = threading.Event()

    def end(number: int, _: object) -> None:
        if not stop.is_set():
            name = signal.Signals(number).name
            LOGGER.info("%s: process %d finishes what is in hand, and ends", name, os.getpid())
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    return stop


@contextmanager
def reread_on_hangup(reread: Callable[[], None]) -> Iterator[None]:
    """Call something that takes no lock on SIGHUP for the length of a `with` block.

    A terminal that is closed still ends what was started in it.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or (sys.stdin and sys.stdin.isatty()):
        yield
        return
    before = signal.signal(signal.SIGHUP, lambda *_: reread())
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
