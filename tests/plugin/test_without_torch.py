"""A host that receives, and whose model runs elsewhere, has neither torch nor what needs it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from dicom_io.archives.dimse import Dimse
from dicom_io.errors import CtscribeError
from dicom_io.phantoms.dicom_study import write_study
from dicom_io.phantoms.phantom import make_phantom
from plugin.assembly import open_sessions
from plugin.settings import load_settings
from plugin.state.tables import Draft
from plugin.supervisor import CTSCRIBE
from tests.absent import without
from tests.ports import free_port
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]
MODEL_LIBRARIES = ("torch", "transformers", "tokenizers", "huggingface_hub")
PAGE = ROOT / "docs" / "service.md"


@pytest.fixture
def engine_url() -> Iterator[str]:
    port = free_port()
    program = [sys.executable, "-m", "tests.engine.slow_engine", str(port), "0"]
    with subprocess.Popen(program, cwd=ROOT) as process:
        assert eventually(lambda: answers(f"http://127.0.0.1:{port}/ready"), 60)
        yield f"http://127.0.0.1:{port}"
        process.terminate()


def answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.HTTPError:
        return False


def test_it_receives_drafts_and_tells_with_the_model_elsewhere(tmp_path, engine_url):
    port = free_port()
    path = tmp_path / "ctscribe.toml"
    path.write_text(
        f'engine = {{ url = "{engine_url}" }}\n'
        f"receiver = {{ port = {port} }}\nmetrics = {{ port = {free_port()} }}\n"
        'storage = { spool = "spool", floor_mb = 1 }\n'
        "completeness = { quiet_s = 0.5 }\n"
        "worker = { poll_s = 0.1 }\n"
    )
    environment = without(tmp_path / "absent", *MODEL_LIBRARIES)
    options = {"env": environment, "capture_output": True, "text": True, "check": False}
    doctor = subprocess.run([*CTSCRIBE, "doctor", "-c", str(path)], **options)
    assert f"ok    model: {engine_url}: fake 1" in doctor.stdout
    assert doctor.returncode == 0

    slices = sorted(write_study(make_phantom(3, matrix=32), tmp_path / "study").iterdir())
    sessions = open_sessions(load_settings(path))
    with subprocess.Popen([*CTSCRIBE, "serve", "-c", str(path)], env=environment) as service:
        assert eventually(lambda: sent(slices, port), 60)
        assert eventually(lambda: drafts(sessions), 90)
        service.terminate()
    status = subprocess.run([*CTSCRIBE, "status", "-c", str(path)], **options)
    sessions.kw["bind"].dispose()
    assert status.returncode == 0
    assert "draft" in status.stdout


def sent(slices: list[Path], port: int) -> bool:
    try:
        Dimse("127.0.0.1", port, "CTSCRIBE", "MODALITY").store(*slices)
    except CtscribeError:
        return False
    return True


def drafts(sessions) -> list[Draft]:
    with sessions() as session:
        return list(session.scalars(select(Draft)))


def test_the_model_of_this_host_needs_torch_and_says_so(tmp_path):
    (tmp_path / "ctscribe.toml").write_text("storage = { spool = 'spool', floor_mb = 1 }\n")
    run = subprocess.run(
        [*CTSCRIBE, "work", "-c", "ctscribe.toml"],
        cwd=tmp_path,
        env=without(tmp_path / "absent", *MODEL_LIBRARIES),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "is not installed: pip install ctscribe" in run.stderr
    assert "Traceback" not in run.stderr
