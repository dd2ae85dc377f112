"""The container files, as far as they can be read without a container engine."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import yaml

from plugin.cli import main
from plugin.reception.receiver import is_allowed
from plugin.settings import Settings, load_settings
from tests.repository import ROOT

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
CONTAINER = (ROOT / "Containerfile").read_text("utf-8")
ASSISTANT, ORTHANC = COMPOSE["services"]["assistant"], COMPOSE["services"]["orthanc"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    path = tmp_path / "ctscribe.toml"
    path.write_text(COMPOSE["configs"]["settings"]["content"])
    return load_settings(path)


def test_the_service_takes_the_settings_and_admits_orthanc_and_the_health_check(settings):
    peers = [(peer.ae_title, str(peer.address)) for peer in settings.receiver.peers]
    (subnet,) = (entry["subnet"] for entry in COMPOSE["networks"]["dicom"]["ipam"]["config"])
    assert is_allowed("ORTHANC", subnet.replace(".0/24", ".7"), peers)
    assert is_allowed("HEALTH", "127.0.0.1", peers)
    assert not is_allowed("HEALTH", subnet.replace(".0/24", ".7"), peers)


def test_the_spool_is_on_a_volume_and_what_is_mounted_exists(settings):
    assert f"spool:{settings.storage.spool}" in ASSISTANT["volumes"]
    assert f"VOLUME {settings.storage.spool}" in CONTAINER
    mounted = [one.split(":")[0] for one in ORTHANC["volumes"] if one.startswith("./")]
    assert all((ROOT / path).is_file() for path in mounted)


def test_secrets_come_from_the_environment_and_nothing_is_open_to_other_machines(settings):
    (destination,) = settings.destinations
    assert destination.credentials_env in ASSISTANT["environment"]
    assert "${ORTHANC_PASSWORD:?" in ASSISTANT["environment"][destination.credentials_env]
    ports = [port for service in (ASSISTANT, ORTHANC) for port in service["ports"]]
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_container_runs_a_command_that_exists_as_a_user_without_rights():
    command = next(line for line in CONTAINER.splitlines() if line.startswith("CMD"))
    assert '"ctscribe", "serve"' in command
    assert "serve" in main.commands
    assert CONTAINER.index("\nUSER ctscribe") < CONTAINER.index("\nCMD")


def test_the_extras_that_it_installs_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = CONTAINER.split("'.[")[1].split("]")[0].split(",")
    assert set(named) <= set(project["optional-dependencies"])
