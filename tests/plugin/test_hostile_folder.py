"""The service in a folder whose own packages bear our names: none of them may ever run."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from plugin.supervisor import CTSCRIBE
from tests.plugin.foreign_packages import foreign_packages, has_run
from tests.ports import free_port
from tests.waiting import eventually

PATIENCE_S = 240


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    return foreign_packages(tmp_path / "hostile")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "ctscribe.toml"
    path.write_text(
        f'[receiver]\nport = {free_port()}\n[storage]\nfloor_mb = 1\n[engine]\nmodel = "fake"\n'
    )
    return path


@contextmanager
def running(folder: Path, *arguments: object) -> Iterator[Path]:
    """Run `ctscribe` in a folder; yields the file that takes its log."""
    log = folder.parent / "log"
    with log.open("wb") as file:
        command = [*CTSCRIBE, *map(str, arguments)]
        process = subprocess.Popen(command, cwd=folder, stdout=file, stderr=file)
        try:
            yield log
        finally:
            process.terminate()
            assert process.wait(PATIENCE_S) == 0, log.read_text()


def receives(log: Path) -> bool:
    return "listens on" in log.read_text()


def works(log: Path) -> bool:
    return "engine_up" in log.read_text()


def test_foreign_packages_would_run_without_care(hostile):
    """The trap works: Python takes what lies in the current folder first."""
    program = [CTSCRIBE[0], "-c", "import plugin"]
    subprocess.run(program, cwd=hostile, check=True)
    assert has_run(hostile)


def test_the_service_and_its_parts_run_nothing_of_it(hostile, config):
    """Each part is a process that is started as the whole is, in the same folder."""
    with running(hostile, "serve", "-c", config) as log:
        assert eventually(lambda: receives(log) and works(log), PATIENCE_S), log.read_text()
    assert not has_run(hostile)
