"""Every command that needs an extra says so, in one line."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from plugin.supervisor import CTSCRIBE
from tests.absent import without
from tests.forked import Forked

# In tests/preloaded.py, beside training; what is forked there has these already
PRELOADED = ("bitsandbytes", "peft")
SITE = ["prepare", "site", "studies", "out", "--reports", "reports.csv"]


@pytest.mark.parametrize(
    ("missing", "extra", "command"),
    [
        ("hl7", "site", SITE),
        ("dicomanonymizer", "site", SITE),
        ("spacy", "recognizer", [*SITE, "--recognizer", "de"]),
        ("psycopg", "postgres", ["work", "-c", "postgres.toml"]),
        ("psycopg", "postgres", ["receive", "-c", "postgres.toml"]),
        ("psycopg", "postgres", ["status", "-c", "postgres.toml"]),
        ("bitsandbytes", "quantization", ["engine", "-c", "int8.toml"]),
        ("peft", "training", ["train", "export", "studies"]),
    ],
)
def test_a_missing_extra_is_one_line_with_the_pip_command(tmp_path, missing, extra, command):
    status, output = ctscribe(tmp_path, missing, command)
    assert output.endswith(f"is not installed: pip install 'ctscribe[{extra}]'\n")
    assert output.count("\n") == 1
    assert status == 1


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("psycopg", "FAIL  database: psycopg is not installed\n      → pip install 'ctscribe[pos"),
        ("bitsandbytes", "FAIL  model: bitsandbytes is not installed\n      → pip install 'ctscr"),
        (
            "fpdf",
            "FAIL  destination pacs: fpdf2 is not installed\n      → pip install 'ctscribe[forms",
        ),
        (
            "fhir",
            "FAIL  destination ehr: fhir.resources is not installed\n      → pip install 'ctscr",
        ),
    ],
)
def test_doctor_names_it_among_its_findings(tmp_path, missing, said):
    configuration = {"psycopg": "postgres.toml", "bitsandbytes": "int8.toml"}
    configuration |= dict.fromkeys(["fpdf", "fhir"], "forms.toml")
    status, output = ctscribe(tmp_path, missing, ["doctor", "-c", configuration[missing]])
    assert said in output
    assert status == 1


def ctscribe(folder: Path, missing: str, command: list[str]) -> tuple[int | None, str]:
    """Run a command in a folder without a library; returns its status, and all that it wrote."""
    (folder / "studies").mkdir()
    (folder / "reports.csv").write_text("accession,report\n1,FINDINGS: None.\n")
    (folder / "postgres.toml").write_text(
        '[storage]\ndatabase = "postgresql://ctscribe@127.0.0.1:1/ctscribe"\nfloor_mb = 1\n'
    )
    (folder / "int8.toml").write_text('[engine]\nquantization = "int8"\n[storage]\nfloor_mb = 1\n')
    (folder / "forms.toml").write_text(
        '[engine]\nmodel = "fake"\n[storage]\nfloor_mb = 1\n'
        '[[destinations]]\nname = "pacs"\nkind = "orthanc"\nforms = ["pdf"]\n'
        'url = "http://127.0.0.1:1"\n'
        '[[destinations]]\nname = "ehr"\nkind = "fhir"\nurl = "http://127.0.0.1:1"\n'
    )
    environment = without(folder / "absent", missing)
    if missing in PRELOADED:
        run = subprocess.run(
            [*CTSCRIBE, *command],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return run.returncode, run.stdout
    process = Forked(["plugin", *command], environment, folder=folder)
    output, _ = process.communicate(300)
    return process.returncode, output
