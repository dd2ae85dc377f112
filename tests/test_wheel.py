"""The wheel, installed away from the repository, holds all that its commands need.

The demo first of all, as a newcomer runs it: the embedded model, real associations.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import httpx
import pytest
from pydicom import dcmread

from dicom_io.phantoms.truth import Truth
from plugin.commands.demonstration.demo import wait_for
from plugin.commands.demonstration.page import show_page
from plugin.settings import load_settings
from plugin.supervisor import CTSCRIBE
from reporting.objects.render import report_text
from tests.plugin.foreign_packages import foreign_packages, has_run
from tests.repository import ROOT
from tests.services import require
from tests.training.asserted import asserted
from training.evaluation.findings.score import true_mentions

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


def run(ctscribe: Path, folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ctscribe, *map(str, arguments)],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


@pytest.fixture(scope="module")
def demo(ctscribe, tmp_path_factory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """What it said, and its output in a folder whose own packages bear our names."""
    folder = foreign_packages(tmp_path_factory.mktemp("demo"))
    return run(ctscribe, folder, "demo", "-o", folder / "out", "--seed", 7), folder / "out"


def test_the_demo_succeeds(demo):
    done, _ = demo
    assert done.returncode == 0, done.stderr


def test_it_runs_nothing_that_lies_in_the_current_folder(demo):
    assert not has_run(demo[1].parent)


def test_it_shows_how_long_each_step_took(demo):
    assert demo[0].stderr.count("done in ") == 4


def test_it_shows_draft_timeline_and_where_the_sr_lies(demo):
    done, output = demo
    assert "NOT VERIFIED" in done.stdout
    assert "Demonstration model" in done.stdout
    assert "delivered to archive and proved" in done.stdout
    (sr,) = (p for p in (output / "archive").iterdir() if dcmread(p).Modality == "SR")
    assert str(sr) in done.stdout


def test_the_draft_in_the_archive_says_what_the_phantom_has(demo):
    _, output = demo
    truth = json.loads((output / "study" / "truth.json").read_text())
    (sr,) = (output / "archive").iterdir()
    text = report_text(dcmread(sr)).partition("Findings")[2]
    wanted = true_mentions(Truth.from_dict(truth))
    assert asserted(text) == {(mention.finding, mention.side) for mention in wanted}


def test_it_ends_with_the_draft_s_page(demo, tmp_path, monkeypatch):
    """A browser that asks what the page asks, and then is Ctrl-C."""
    met = {}

    class Reader:
        def open(self, url: str) -> bool:
            with httpx.Client(base_url=url.partition("/study/")[0]) as browser:
                met["user"] = browser.get("/api/session").json()["user"]
                study = url.rpartition("/")[2]
                met["draft"] = browser.get(f"/api/studies/{study}/draft").json()
            raise KeyboardInterrupt

    monkeypatch.setattr("webbrowser.get", Reader)
    study = dcmread(next((demo[1] / "archive").iterdir())).StudyInstanceUID
    settings = load_settings(demo[1] / "ctscribe.toml")
    command = [*CTSCRIBE, "web", "-c", str(demo[1] / "ctscribe.toml")]
    with subprocess.Popen(command) as reading_room:
        show_page(reading_room, settings.web.port, study, wait_for)
        reading_room.terminate()
    assert "radiologist" in met["user"]["roles"]
    assert met["draft"]["sections"]
    assert reading_room.returncode == 0


@pytest.mark.parametrize(
    "name", ["orthanc.json", "orthanc_plugin.py", "ray-serve.yaml", "train.sbatch"]
)
def test_the_files_of_an_installation_are_in_it(ctscribe, tmp_path, name):
    ran = run(ctscribe, tmp_path, "files", name)
    assert ran.returncode == 0, ran.stderr
    printed = ran.stdout
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
