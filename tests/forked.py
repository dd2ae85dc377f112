"""Processes that begin where the project is imported already, which alone takes seconds.

Real ones, forked from a process of their own without threads, to be watched and killed.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.preloaded"])


class Forked:
    """`python -m MODULE ARGUMENTS` or `python FILE ARGUMENTS`, started.

    Parameters
    ----------
    command : sequence of str
        The module, or the path of a file that ends in `.py`, and its arguments.
    environment : mapping of str to str, optional
        What is put over the environment; the folders of a `PYTHONPATH` come first, as ever.
    log : Path, optional
        A file that gets output and errors in place of `stdout`.
    folder : Path, optional
        The current one.

    Attributes
    ----------
    stdout : file
        Output and errors, as they come.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
        folder: Path | None = None,
    ):
        ours, theirs = _CONTEXT.Pipe(duplex=False)
        what = (theirs, command, environment or {}, log, folder)
        self._process = _CONTEXT.Process(target=_run, args=what)
        self._process.start()
        theirs.close()
        self._ours = ours
        self.stdout = open(ours.fileno(), encoding="utf-8", closefd=False)  # noqa: SIM115

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        """End it by SIGKILL."""
        self._process.kill()
        self.communicate()

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        """Read to the end, and wait for it."""
        output = self.stdout.read()
        self._process.join(timeout)
        self.stdout.close()
        self._ours.close()
        return output, None


def _run(
    output: Connection,
    command: Sequence[str],
    environment: Mapping[str, str],
    log: Path | None,
    folder: Path | None,
) -> None:
    os.setsid()
    with output, log.open("ab") if log else nullcontext(output) as into:
        for stream in (1, 2):
            os.dup2(into.fileno(), stream)
    os.environ.update(environment)
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    os.chdir(folder or ".")
    module, *arguments = command
    sys.argv = [module, *arguments]
    if module.endswith(".py"):
        runpy.run_path(module, run_name="__main__")
    else:
        runpy.run_module(module, run_name="__main__", alter_sys=True)


def status_of(program: str, folder: Path) -> int | None:
    """Run a program to its end; returns its status, that of a signal below zero.

    Parameters
    ----------
    program : str
        Lines of Python.
    folder : Path
        Takes the file of the program.
    """
    file = folder / "program.py"
    file.write_text(program, "utf-8")
    process = Forked([str(file)])
    process.communicate(300)
    return process.returncode
