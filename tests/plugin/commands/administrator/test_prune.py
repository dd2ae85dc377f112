from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import update

from bench.year import Hospital, files_below
from plugin.assembly import open_sessions, open_spool
from plugin.cli import main
from plugin.commands.administrator.prune import shown
from plugin.housekeeping import duties
from plugin.settings import load_settings
from plugin.state.tables import Job, JobState
from plugin.upkeep.duties import Duty


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A service with an old delivered study, and one without a draft."""
    path = tmp_path / "ctscribe.toml"
    path.write_text('[storage]\nspool = "spool"\nfloor_mb = 0\n[retention]\nhigh_percent = 100')
    settings = load_settings(path)
    sessions = open_sessions(settings)
    hospital = Hospital(sessions, open_spool(settings), datetime.now(UTC) - timedelta(days=40))
    hospital.studies(1)
    hospital.send("1.2")
    sessions.kw["bind"].dispose()
    return path


def prune(config: Path, *options: str) -> str:
    result = CliRunner().invoke(main, ["prune", "-c", str(config), *options])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_dry_run_says_what_would_go_and_what_stays(config: Path) -> None:
    before = files_below(config.parent / "spool")
    assert re.sub(r"\d\.\d kB", "X kB", prune(config, "--dry-run")).splitlines() == [
        "1 study loses its images: X kB (images_days = 30)",
        "1 study stays, without a draft: X kB",
        "nothing was deleted: this was a dry run",
    ]
    assert files_below(config.parent / "spool") == before


def test_what_a_dry_run_would_delete_does_not_stay(config: Path) -> None:
    config.write_text(config.read_text() + "\nundrafted_days = 30")
    with open_sessions(load_settings(config)).begin() as session:
        session.execute(update(Job).values(state=JobState.FAILED))
    told = prune(config, "--dry-run")
    assert "1 study without a draft loses its images" in told
    assert "stays" not in told


def test_what_goes_is_said_as_json_too(config: Path) -> None:
    told = json.loads(prune(config, "--json"))
    assert [(one["rule"], one["count"]) for one in told["deleted"]] == [("images", 1)]
    assert [one["studies"] for one in told["kept"]] == [1, 0]
    assert "nothing is old enough" in prune(config)


def test_the_service_deletes_by_itself_unless_the_settings_say_otherwise(config: Path) -> None:
    def does() -> list[Duty]:
        settings = load_settings(config)
        found = duties(settings, open_sessions(settings), open_spool(settings))
        return [one for one in found if one.name == "retention"]

    (duty,) = does()
    duty.do()
    assert "nothing is old enough" in prune(config)
    config.write_text(config.read_text() + "\nenabled = false")
    assert does() == []


@pytest.mark.parametrize(
    ("size", "said"), [(999, "999 bytes"), (1500, "1.5 kB"), (3 * 10**12, "3.0 TB")]
)
def test_sizes_are_told_in_powers_of_ten(size: int, said: str) -> None:
    assert shown(size) == said
