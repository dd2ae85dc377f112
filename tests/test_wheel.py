"""The wheel, installed away from the repository, holds all that its commands need."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.repository import ROOT
from tests.services import require

LEFT_OUT = (
    *(".*", "build", "dist", "*.egg-info", "__pycache__", "node_modules"),
    *("runs", "tests", "demo-output"),
)


@pytest.fixture(scope="module")
def ctscribe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of an environment whose ctscribe comes from the built wheel alone.

    Third-party packages are those of this environment, behind the wheel on the path.
    """
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    source = folder / "source"
    # a build in the repository would leave its folders there, and find those of earlier ones
    shutil.copytree(ROOT, source, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = folder.glob("*.whl")

    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    install = ["--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([*pip, *install], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    others = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "others.pth").write_text("\n".join([*others, sysconfig.get_path("purelib")]))
    return environment / "bin" / "ctscribe"


def run(ctscribe: Path, folder: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(
        [ctscribe, *arguments], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert ran.returncode == 0
    return ran.stdout


def test_the_demo_ends_with_a_draft(ctscribe, tmp_path):
    assert "AI DRAFT - NOT VERIFIED" in run(ctscribe, tmp_path, "demo")


@pytest.mark.parametrize(
    "name", ["orthanc.json", "orthanc_plugin.py", "ray-serve.yaml", "train.sbatch"]
)
def test_the_files_of_an_installation_are_in_it(ctscribe, tmp_path, name):
    printed = run(ctscribe, tmp_path, "files", name)
    if name == "orthanc.json":
        assert str(ctscribe.parents[1]) in printed
    else:
        assert printed.strip()


def test_the_pages_of_the_reading_room_are_in_it_and_not_their_sources(ctscribe):
    require((ROOT / "plugin/web/static/index.html").is_file(), "what `make ui` builds")
    (web,) = ctscribe.parents[1].glob("lib/python*/site-packages/plugin/web")
    page = (web / "static/index.html").read_text("utf-8")
    assets = re.findall(r"\"/(assets/[^\"]+)\"", page)
    assert assets
    assert all((web / "static" / asset).stat().st_size for asset in assets)
    assert not (web / "ui").exists()
