"""Checkpoints named on a hub; the client reads its settings once, so each test is a process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.checkpoints.folder import is_hub_id
from tests.hub import COMMIT, REPO, hub


def identify(name: str, home: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    code = f"from engine import load_engine; print(load_engine({name!r}).identity.name)"
    environment = {**os.environ, "HF_HOME": str(home), **settings}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )


def test_a_commit_is_downloaded_and_then_found_without_the_network(
    folder: Path, tmp_path: Path
) -> None:
    with hub(folder) as url:
        assert identify(f"{REPO}@{COMMIT}", tmp_path, HF_ENDPOINT=url).stdout == "tiny\n"
    assert identify(f"{REPO}@{COMMIT}", tmp_path, HF_HUB_OFFLINE="1").stdout == "tiny\n"


def test_a_name_without_commit_is_answered_with_todays(folder: Path, tmp_path: Path) -> None:
    with hub(folder) as url:
        refused = identify(REPO, tmp_path, HF_ENDPOINT=url)
    assert f"{REPO} names no commit; today that is {REPO}@{COMMIT}" in refused.stderr


def test_what_the_hub_does_not_have_is_named(folder: Path, tmp_path: Path) -> None:
    with hub(folder) as url:
        refused = identify(f"owner/none@{COMMIT}", tmp_path, HF_ENDPOINT=url)
    assert f"owner/none@{COMMIT} is no folder, and the hub does not give it" in refused.stderr


@pytest.mark.parametrize("name", [f"{REPO}@{COMMIT}", REPO, "a.b/c-d_e@v1.0"])
def test_owner_and_name_are_a_hub_id(name: str) -> None:
    assert is_hub_id(name)


@pytest.mark.parametrize("name", ["embedded", "./a", "/a/b", "../a/b", "a/b/c", ".cache/a"])
def test_a_path_is_no_hub_id(name: str) -> None:
    assert not is_hub_id(name)


def test_a_folder_that_is_there_is_no_hub_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "owner" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert not is_hub_id("owner/model")
