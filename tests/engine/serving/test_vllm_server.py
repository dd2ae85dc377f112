"""A server that is started, watched and ended: a small program stands in for vLLM."""

import json
import os
import signal
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import httpx
import pytest

from dicom_io.errors import CheckpointMismatch, EngineError
from engine.checkpoints.llm_export import export_llm
from engine.serving.vllm_server import VllmServer
from tests.waiting import eventually

PROGRAM = """\
    #!{python}
    import json, os, subprocess, sys
    from http.server import BaseHTTPRequestHandler, HTTPServer

    port = int(next(o for o in sys.argv if o.startswith("--port=")).removeprefix("--port="))
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    said = {{"pid": os.getpid(), "child": child.pid, "argv": sys.argv[1:], **os.environ}}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(said).encode())

        def log_message(self, *_):
            pass

    HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.fixture
def python(tmp_path: Path) -> Path:
    return program(tmp_path / "python", dedent(PROGRAM.format(python=sys.executable)))


@pytest.fixture
def exported(folder: Path, tmp_path: Path) -> Path:
    export_llm(folder, tmp_path / "llm")
    return tmp_path / "llm"


def program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def said_by(server: VllmServer) -> dict[str, Any]:
    try:
        said: dict[str, Any] = json.loads(httpx.get(server.url).content)
    except httpx.HTTPError:
        return {}
    return said


def lives(pid: int) -> bool:
    try:
        # what has ended and was not waited for by init yet
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_it_is_started_on_loopback_with_a_token_and_the_name_of_the_model(
    exported: Path, python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/ours")
    with VllmServer(exported, python, ["--max-num-seqs=16"]) as server:
        said = said_by(server)
    digest = json.loads((exported / "config.json").read_text())["ctscribe_digest"]
    assert f"--served-model-name=ctscribe-{digest[:16]}" in said["argv"]
    assert {"--host=127.0.0.1", "--enable-prompt-embeds", "--max-num-seqs=16"} <= {*said["argv"]}
    assert said["VLLM_API_KEY"] == server.token
    assert server.token not in said["argv"]
    assert "PYTHONPATH" not in said


def test_one_that_dies_is_started_again(exported: Path, python: Path) -> None:
    with VllmServer(exported, python) as server:
        first = said_by(server)
        os.kill(first["pid"], signal.SIGKILL)
        assert eventually(lambda: said_by(server).get("pid", first["pid"]) != first["pid"])
        assert eventually(lambda: not lives(first["child"]))


def test_it_ends_with_us_and_takes_along_what_it_started(exported: Path, python: Path) -> None:
    with VllmServer(exported, python) as server:
        said = said_by(server)
    assert eventually(lambda: not lives(said["pid"]) and not lives(said["child"]))


def test_one_that_cannot_load_its_model_is_not_started_again_and_again(
    exported: Path, tmp_path: Path
) -> None:
    broken = program(tmp_path / "broken", "#!/bin/sh\nexit 3\n")
    with (
        pytest.raises(EngineError, match="vLLM ended with status 3"),
        VllmServer(exported, broken),
    ):
        pass


def test_a_python_that_is_not_there_is_an_error(exported: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(EngineError, match="vLLM cannot be started: No such file"),
        VllmServer(exported, tmp_path / "nowhere"),
    ):
        pass


def test_a_folder_that_was_not_exported_is_refused(folder: Path, python: Path) -> None:
    with pytest.raises(CheckpointMismatch, match="export-llm"):
        VllmServer(folder, python)
