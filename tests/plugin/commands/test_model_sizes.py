"""`ctscribe model tables` from the command line."""

import json

import pytest
from click.testing import CliRunner

from engine.sizes.row import Row
from engine.sizes.tables import count_tables
from plugin.cli import main
from tests.repository import ROOT

DOCUMENT = ROOT / "docs" / "variants.md"


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return count_tables()


@pytest.fixture(autouse=True)
def counted_once(rows: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    """To count takes seconds."""
    monkeypatch.setattr("plugin.commands.model_sizes.count_tables", lambda: rows)


def test_the_documentation_shows_what_the_command_prints() -> None:
    result = CliRunner().invoke(main, ["model", "tables"])
    assert result.exit_code == 0
    assert f"```\n{result.output}```\n" in DOCUMENT.read_text(encoding="utf-8")


def test_json_has_exact_counts_and_the_papers_words() -> None:
    result = CliRunner().invoke(main, ["model", "tables", "--json"])
    rows = json.loads(result.output)["rows"]
    (mixer,) = (row for row in rows if row["name"] == "2xMixer-H")
    assert mixer["parameters"] == 47_221_248
    assert mixer["paper"] == {"parameters": "47.22 M", "flops": "6.14 G"}
    assert mixer["agrees"] is True
    assert all(row["note"] for row in rows if row["agrees"] is False)
