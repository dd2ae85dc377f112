"""The service in a folder whose own packages bear our names: none of them may ever run."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dicom_io.archives import dimse
from dicom_io.errors import CtscribeError
from plugin.supervisor import CTSCRIBE
from tests.orthanc import free_port
from tests.plugin.foreign_packages import foreign_packages, has_run
from tests.waiting import eventually

PATIENCE_S = 60


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    return foreign_packages(tmp_path / "hostile")


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def config(tmp_path: Path, port: int) -> Path:
    path = tmp_path / "ctscribe.toml"
    path.write_text(
        f'[receiver]\nport = {port}\n[storage]\nfloor_mb = 1\n[engine]\nmodel = "fake"\n'
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


def receives(port: int) -> bool:
    try:
        dimse.echo("127.0.0.1", port, called_ae_title="CTSCRIBE", calling_ae_title="TEST")
    except CtscribeError:
        return False
    return True


def works(log: Path) -> bool:
    return "engine_up" in log.read_text()


def test_foreign_packages_would_run_without_care(hostile):
    """The trap works: Python takes what lies in the current folder first."""
    program = [CTSCRIBE[0], "-c", "import plugin"]
    subprocess.run(program, cwd=hostile, check=True)
    assert has_run(hostile)


def test_serve_runs_nothing_of_it(hostile, config, port):
    with running(hostile, "serve", "-c", config) as log:
        assert eventually(lambda: receives(port) and works(log), PATIENCE_S), log.read_text()
    assert not has_run(hostile)


def test_receive_runs_nothing_of_it(hostile, config, port):
    with running(hostile, "receive", "-c", config) as log:
        assert eventually(lambda: receives(port), PATIENCE_S), log.read_text()
    assert not has_run(hostile)


def test_work_runs_nothing_of_it(hostile, config):
    with running(hostile, "work", "-c", config) as log:
        assert eventually(lambda: works(log), PATIENCE_S), log.read_text()
    assert not has_run(hostile)
