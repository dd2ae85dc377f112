"""`ctscribe engine` as a process of its own, and what it refuses to start with."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from engine.fake import FakeEngine
from plugin.cli import main
from plugin.supervisor import CTSCRIBE
from tests.engine.conftest import input_for
from tests.engine.servers import closing_client
from tests.ports import free_port
from tests.waiting import eventually

TOKEN = {"CTSCRIBE_ENGINE_TOKEN": "secret"}


@pytest.fixture
def config(tmp_path: Path):
    def config(engine: str = "", server: str = "") -> Path:
        path = tmp_path / "ctscribe.toml"
        path.write_text(
            f'[engine]\nmodel = "fake"\n{engine}\n[engine_server]\n{server}\n'
            f"[receiver]\nport = {free_port()}\n[metrics]\nport = {free_port()}\n"
        )
        return path

    return config


@contextmanager
def running(config: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [*CTSCRIBE, "engine", "-c", str(config)], env={**os.environ, **TOKEN}
    )
    try:
        assert eventually(lambda: answers(port), 30)
        yield process
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/ready").is_success
    except httpx.HTTPError:
        return False


def refused(config: Path) -> str:
    result = CliRunner().invoke(main, ["engine", "-c", str(config)])
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_it_serves_the_model_of_the_settings_and_ends_with_0_on_sigterm(config):
    port = free_port()
    with running(config(server=f"port = {port}"), port) as process:
        with closing_client(f"http://127.0.0.1:{port}") as client:
            generation = client.report(input_for(client.preprocess))
        process.terminate()
        assert process.wait(60) == 0  # a busy machine
    assert generation.text == FakeEngine().report(input_for(FakeEngine().preprocess)).text


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "gpu.example"])
def test_beyond_loopback_it_asks_for_a_token(config, host):
    assert "engine.token_env" in refused(config(server=f'host = "{host}"'))


def test_a_token_that_is_not_in_the_environment_is_named(config, monkeypatch):
    monkeypatch.delenv("CTSCRIBE_ENGINE_TOKEN", raising=False)
    said = refused(config(engine='token_env = "CTSCRIBE_ENGINE_TOKEN"'))
    assert "the environment variable CTSCRIBE_ENGINE_TOKEN must hold a token" in said


def test_a_token_that_no_header_can_hold_is_refused_and_not_shown(config, monkeypatch):
    monkeypatch.setenv("CTSCRIBE_ENGINE_TOKEN", "gehëim")
    said = refused(config(engine='token_env = "CTSCRIBE_ENGINE_TOKEN"'))
    assert "must hold a token in printable ASCII" in said
    assert "gehëim" not in said


def test_a_port_that_is_taken_is_named(config):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(config(server=f"port = {port}"))
    assert f"cannot listen at 127.0.0.1:{port}: Address already in use" in said


def test_a_model_that_is_not_there_is_named(config):
    path = config()
    path.write_text(path.read_text().replace('"fake"', '"nowhere"'))
    assert "no checkpoint at nowhere" in refused(path)


@pytest.mark.parametrize("url", ["gpu:11180", "ftp://gpu", "http://user:secret@gpu:11180"])
def test_an_address_that_is_none_or_holds_a_secret_is_refused(config, url):
    result = CliRunner().invoke(main, ["doctor", "-c", str(config(engine=f'url = "{url}"'))])
    assert result.exit_code == 1
    assert "engine.url" in result.stderr
    assert "secret" not in result.stderr


def doctor(config: Path, **environment: str) -> Result:
    return CliRunner().invoke(main, ["doctor", "-c", str(config)], env=environment)


def test_doctor_asks_the_engine_s_server(config):
    port = free_port()
    engine = f'url = "http://127.0.0.1:{port}"\ntoken_env = "CTSCRIBE_ENGINE_TOKEN"'
    path = config(engine, f"port = {port}")
    down = doctor(path, **TOKEN)
    assert f"FAIL  model: http://127.0.0.1:{port} does not answer" in down.stdout
    assert "`ctscribe engine` runs there" in down.stdout
    with running(path, port):
        assert f"ok    model: http://127.0.0.1:{port}: fake 1" in doctor(path, **TOKEN).stdout
        assert "refuses the token" in doctor(path, CTSCRIBE_ENGINE_TOKEN="wrong").stdout
