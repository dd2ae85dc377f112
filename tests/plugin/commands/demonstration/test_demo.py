"""The demo as a newcomer runs it: a process of its own, the embedded model, real associations."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from pydicom import dcmread

from dicom_io.phantoms.truth import Truth
from plugin.cli import main
from plugin.commands.demonstration.demo import running_service, wait_for
from plugin.commands.demonstration.page import show_page
from plugin.settings import load_settings
from plugin.supervisor import CTSCRIBE
from reporting.objects.render import report_text
from tests.plugin.foreign_packages import foreign_packages, has_run
from tests.training.asserted import asserted
from training.evaluation.findings.score import true_mentions


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> tuple[subprocess.CompletedProcess[str], Path]:
    folder = foreign_packages(tmp_path_factory.mktemp("demo"))
    output = folder / "out"
    command = [*CTSCRIBE, "demo", "-o", str(output), "--seed", "7"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    return done, output


def test_it_succeeds(demo):
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


def test_a_folder_that_is_no_earlier_demo_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("x")
    result = CliRunner().invoke(main, ["demo", "-o", str(tmp_path)])
    assert result.exit_code == 1
    assert "choose another -o" in result.stderr
    assert (tmp_path / "thesis.txt").exists()


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
    with running_service(demo[1]) as service:
        show_page(service, settings.web.port, study, wait_for)
    assert "radiologist" in met["user"]["roles"]
    assert met["draft"]["sections"]
    assert service.returncode == 0
