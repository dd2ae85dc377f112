"""`ctscribe web` as a real process; people, programs and proxies that come to it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
from click.testing import CliRunner
from dicomweb_client import DICOMwebClient
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from plugin.cli import main
from plugin.sections.web import Web
from plugin.settings import Settings
from plugin.supervisor import CTSCRIBE
from plugin.web.serving import archived_priors, guarded
from tests.ct import ct_stack, save
from tests.ports import free_port
from tests.waiting import eventually

PASSWORD = "correct horse battery"


def ctscribe(config: Path, *arguments: str, typed: str = "") -> str:
    done = CliRunner().invoke(main, [*arguments, "-c", str(config)], input=typed)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("web")
    settings = folder / "ctscribe.toml"
    settings.write_text(f"[web]\nport = {free_port()}\n[storage]\nfloor_mb = 0\n")
    ctscribe(settings, "users", "add", "ann", "--role", "reader", typed=f"{PASSWORD}\n")
    return settings


@pytest.fixture(scope="module")
def url(config: Path) -> Iterator[str]:
    port = config.read_text().split()[3]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([*CTSCRIBE, "web", "-c", str(config)], env=environment)
    address = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: _answers(address), 120)  # its imports take long on a busy machine
        yield address
    finally:
        process.terminate()
        assert process.wait(30) == 0


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/api/session").status_code == 200
    except httpx.TransportError:
        return False


def test_a_person_signs_in_and_reads(url: str) -> None:
    with httpx.Client(base_url=url) as browser:
        assert browser.get("/dicom-web/studies").status_code == 401
        typed = {"name": "ann", "password": PASSWORD}
        begun = browser.post("/api/session", json=typed)
        assert begun.json()["user"]["roles"] == ["reader"]
        assert browser.get("/dicom-web/studies").json() == []
        assert browser.get("/api/worklist").json()["studies"] == []
        csrf = {"X-CSRF-Token": begun.json()["csrf"]}
        assert browser.post("/dicom-web/studies", headers=csrf).status_code == 403
        assert browser.delete("/api/session", headers=csrf).status_code == 204
        assert browser.get("/dicom-web/studies").status_code == 401


def test_a_program_stores_and_fetches_by_its_token(url: str, config: Path, tmp_path: Path) -> None:
    make = ("tokens", "make")
    reads = ctscribe(config, *make, "viewer", "--scope", "dicomweb-read").split()[-1]
    writes = ctscribe(config, *make, "scanner", "--scope", "dicomweb-write").split()[-1]
    stack = ct_stack(np.zeros((3, 8, 8)), np.diag([1.0, 1.0, 2.0, 1.0]))
    slices = [pydicom.dcmread(one) for one in sorted(save(stack, tmp_path).iterdir())]
    _client(url, writes).store_instances(slices)
    viewer = _client(url, reads)
    (study,) = viewer.search_for_studies()
    assert study["0020000D"]["Value"] == [slices[0].StudyInstanceUID]
    fetched = viewer.retrieve_study(slices[0].StudyInstanceUID)
    assert {one.SOPInstanceUID for one in fetched} == {one.SOPInstanceUID for one in slices}
    with pytest.raises(httpx.HTTPStatusError, match="403"):
        _get(f"{url}/dicom-web/studies", writes)
    ctscribe(config, "tokens", "remove", "viewer")
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        _get(f"{url}/dicom-web/studies", reads)


def _client(url: str, token: str) -> DICOMwebClient:
    return DICOMwebClient(f"{url}/dicom-web", headers={"Authorization": f"Bearer {token}"})


def _get(url: str, token: str) -> None:
    httpx.get(url, headers={"Authorization": f"Bearer {token}"}).raise_for_status()


def test_a_page_of_another_name_is_not_answered(url: str) -> None:
    assert httpx.get(f"{url}/api/session", headers={"Host": "evil.example"}).status_code == 400


@pytest.mark.parametrize("given", [{}, {"public_url": "https://reading.example.org"}])
def test_others_are_not_answered_in_the_clear(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="reached from other hosts"):
        Web(host="0.0.0.0", **given)


def test_only_the_proxy_is_answered_where_there_is_one() -> None:
    app = Starlette(routes=[Route("/", lambda request: PlainTextResponse(request.client.host))])
    web = Web(proxies=("192.0.2.7",), public_url="https://reading.example.org")
    told = {"Host": "reading.example.org", "X-Forwarded-For": "198.51.100.9"}
    for address, status in (("192.0.2.7", 200), ("192.0.2.8", 403)):
        client = TestClient(guarded(app, web), client=(address, 1234))
        answer = client.get("/", headers=told)
        assert answer.status_code == status
        assert (answer.text == "198.51.100.9") is (status == 200)


def test_faults_of_the_commands_are_one_line(config: Path) -> None:
    def refused(*arguments: str, typed: str = "") -> str:
        done = CliRunner().invoke(main, [*arguments, "-c", str(config)], input=typed)
        assert done.exit_code == 1
        return done.output

    again = refused("users", "add", "ann", "--role", "reader", typed=f"{PASSWORD}\n")
    assert "there is a user called ann already" in again
    short = refused("users", "password", "ann", typed="short\n")
    assert "a password has at least 12 characters" in short
    assert "there is no user called bob" in refused("users", "remove", "bob")
    assert "there is no token called x" in refused("tokens", "remove", "x")


def test_other_roles_count_at_once(url: str, config: Path) -> None:
    add = ("users", "add", "eve", "--role", "reader", "--display-name", "Eve Example")
    ctscribe(config, *add, typed=f"{PASSWORD}\n")
    with httpx.Client(base_url=url) as browser:
        typed = {"name": "eve", "password": PASSWORD}
        csrf = {"X-CSRF-Token": browser.post("/api/session", json=typed).json()["csrf"]}
        ctscribe(config, "users", "roles", "eve", "--role", "administrator")
        empty = browser.post("/dicom-web/studies", headers=csrf)
        assert empty.status_code == 415
        ctscribe(config, "users", "password", "eve", typed=f"{PASSWORD} again\n")
        assert browser.get("/dicom-web/studies").status_code == 401
    listed = ctscribe(config, "users", "list")
    assert "Eve Example" in listed
    ctscribe(config, "users", "remove", "eve")
    assert "eve" not in ctscribe(config, "users", "list")


def test_the_archive_that_the_settings_name_is_asked_for_priors() -> None:
    pacs = {"name": "PACS", "kind": "orthanc", "url": "http://127.0.0.1:1"}
    named = {"destinations": [pacs], "web": {"priors_at": "PACS"}}
    asked = archived_priors(Settings.model_validate(named))
    assert asked is not None
    assert asked.name == "PACS"
    assert archived_priors(Settings.model_validate({"destinations": [pacs]})) is None
