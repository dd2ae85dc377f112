"""A real Orthanc with this repository's orthanc.json, on free ports and in a folder of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.ports import free_port
from tests.repository import ROOT
from tests.services import require
from tests.waiting import eventually

PYTHON_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancPython.so")


@dataclass(frozen=True)
class RunningOrthanc:
    """Where it listens, and its process."""

    url: str
    dicom_port: int
    folder: Path
    process: subprocess.Popen[bytes]
    credentials: tuple[str, str] | None = None

    def get(self, path: str) -> Any:
        response = httpx.get(f"{self.url}{path}", timeout=30, auth=self.credentials)
        response.raise_for_status()
        return response.json()

    def post(self, path: str, **arguments: Any) -> Any:
        response = httpx.post(f"{self.url}{path}", timeout=30, auth=self.credentials, **arguments)
        response.raise_for_status()
        return response.json()

    def upload(self, path: Path) -> Any:
        return self.post("/instances", content=path.read_bytes())

    def clear(self) -> None:
        """Forget every patient."""
        for patient in self.get("/patients"):
            httpx.delete(f"{self.url}/patients/{patient}", timeout=30).raise_for_status()

    def stop(self) -> None:
        """End in order, which takes seconds; the end of a test is none, and a crash is survived."""
        self.process.terminate()
        self.process.wait(timeout=30)

    def log(self) -> str:
        return (self.folder / "orthanc.log").read_text()


@contextmanager
def running_orthanc(
    folder: Path,
    *,
    python: bool = False,
    credentials: tuple[str, str] | None = None,
    start_in: Path = ROOT,
    **changes: Any,
) -> Iterator[RunningOrthanc]:
    """Start Orthanc on `folder` (its storage and log) and kill it at the end of the block.

    Parameters
    ----------
    folder : Path
        Kept afterwards: a second call on it is a restart.
    python : bool
        Load the Python plugin with this repository's script.
    credentials : (str, str), optional
        User and password, where `changes` asks for them.
    start_in : Path
        The folder that relative paths in `PythonScript` begin at.
    **changes
        Top-level keys of orthanc.json to replace.
    """
    require(shutil.which("Orthanc") is not None, "Orthanc")
    require(PYTHON_PLUGIN.is_file(), "Orthanc's Python plugin")
    configuration = json.loads((ROOT / "orthanc.json").read_text())
    configuration |= {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": free_port(),
        "DicomPort": free_port(),
        "StableAge": 1,
    }
    if not python:
        del configuration["PythonScript"]
    configuration |= changes
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    url = f"http://127.0.0.1:{configuration['HttpPort']}"
    with (folder / "orthanc.log").open("ab") as log:
        process = subprocess.Popen(
            ["Orthanc", str(folder / "orthanc.json")], cwd=start_in, stdout=log, stderr=log
        )
    try:
        running = RunningOrthanc(url, configuration["DicomPort"], folder, process, credentials)
        eventually(lambda: _answers(running))
        yield running
    finally:
        process.kill()
        process.wait(timeout=30)


def _answers(running: RunningOrthanc) -> bool:
    assert running.process.poll() is None, running.log()
    try:
        system = f"{running.url}/system"
        return httpx.get(system, auth=running.credentials, timeout=5).is_success
    except httpx.TransportError:
        return False
