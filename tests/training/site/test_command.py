import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from plugin.cli import main
from tests.training.site.studies import Patient, report_rows, write_archive, write_table
from training.data.store import open_store

PATIENTS = [Patient(number) for number in range(1, 5)]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    write_archive(folder / "archive", PATIENTS)
    write_table(folder / "reports.csv", report_rows(PATIENTS))
    return folder


def run(site: Path, out: Path, *options: str) -> Result:
    words = ["prepare", "site", str(site / "archive"), str(out), *options]
    return CliRunner().invoke(main, [*words, "--reports", str(site / "reports.csv")])


def test_the_first_call_says_how_to_go_on_and_the_next_one_builds(site, tmp_path):
    out = tmp_path / "out"
    first = run(site, out, "--from", "2024-03-02", "--to", "2024-03-04")
    assert first.exit_code == 0
    assert "3 studies seen, 3 taken, 0 rejected" in first.output
    assert f"review {tmp_path / 'out.private' / 'review.csv'}, then run the same" in first.output
    second = run(site, out, "--from", "2024-03-02", "--to", "2024-03-04", "--accept-all")
    assert second.exit_code == 0
    assert len(open_store(out).images) == 3
    assert json.loads((out / "report.json").read_text())["checkpoint"].startswith("ctscribe")


@pytest.mark.parametrize(
    ("options", "status", "why"),
    [
        (("--column", "number=A"), 2, "WHAT=NAME is wanted"),
        (("--hours", "evening"), 2, "20:00-06:00"),
        (("--from", "March"), 2, "--from"),
        (("--column", "accession=Nummer"), 1, "no column nummer for the accession"),
        (("--model", "nowhere"), 1, "no checkpoint"),
        (("--recognizer", "nowhere"), 1, "no spaCy pipeline is installed"),
        (("--from", "2031-01-01"), 1, "no CT study of these days"),
    ],
)
def test_what_is_wrong_is_one_line(site, tmp_path, options, status, why):
    result = run(site, tmp_path / "out", *options)
    assert result.exit_code == status
    assert why in result.output
    assert "Traceback" not in result.output


def test_a_source_that_is_none_is_one_line(tmp_path):
    result = CliRunner().invoke(main, ["prepare", "site", "ftp://x", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "SOURCE is neither a folder nor an archive" in result.output
