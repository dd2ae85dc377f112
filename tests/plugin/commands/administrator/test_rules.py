"""Rules are tried out before they are switched on."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from plugin.cli import main
from plugin.drafting.wanted.judging import Judge
from plugin.reception import intake
from plugin.rules.rules import Rule, Rules
from plugin.state.database import connect, session_factory
from plugin.state.files.spool import Spool
from tests.plugin.arrivals import PATIENCE, arrival
from tests.plugin.intake_objects import make_slice, new_uid

OLD = '[storage]\nspool = "spool"\n[[rules]]\nname = "all"\n'
NEW = (
    '[storage]\nspool = "spool"\n[[rules]]\nname = "outside"\nwhen = \'sender == "ELSEWHERE"\'\n'
    'draft = false\n[[rules]]\nname = "young"\nwhen = "patient_age_years < 18"\nurgency = "stat"\n'
)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "ctscribe.toml"
    path.write_text(OLD)
    return path


@pytest.fixture
def new(tmp_path: Path) -> Path:
    path = tmp_path / "new.toml"
    path.write_text(NEW)
    return path


@pytest.fixture
def received(tmp_path: Path, sqlite_template: Path) -> Spool:
    """Three studies: of a grown-up, from elsewhere, of a child; the last one was judged."""
    spool = Spool(tmp_path / "spool")
    (spool.root / "instances").mkdir(exist_ok=True)
    url = f"sqlite:///{shutil.copy(sqlite_template, spool.root / 'ctscribe.db')}"
    engine = connect(url)
    sessions = session_factory(engine)
    now = datetime.now(UTC) - timedelta(hours=1)
    for number, (sender, age) in enumerate((("CT1", "050Y"), ("ELSEWHERE", ""), ("CT1", "007Y"))):
        image = make_slice(new_uid())
        image.PatientAge = age
        image.save_as(spool.root / f"instances/{number}.dcm", enforce_file_format=True)
        one = replace(arrival(number, study=f"1.2.{number}"), sender=sender)
        one = replace(one, header=replace(one.header, accession_number=f"A{number}"))
        with sessions.begin() as session:
            intake.record(session, [one], patience=PATIENCE, now=now)
    Judge(sessions, spool, Rules((Rule(name="all"),)), 60.0).look(datetime.now(UTC))
    engine.dispose()
    return spool


def ran(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["rules", *map(str, arguments)])


def test_a_folder_is_judged_rule_by_rule(tmp_path, new):
    image = make_slice(new_uid())
    image.PatientAge = "007Y"
    (tmp_path / "study").mkdir()
    image.save_as(tmp_path / "study" / "1.dcm", enforce_file_format=True)
    (tmp_path / "study" / "note.txt").write_text("no DICOM")
    result = ran("test", tmp_path / "study", "-c", new, "--sender", "CT9")
    assert result.output.splitlines() == [
        'not met  outside: sender is "CT9"',
        "met      young: patient_age_years is 7",
        "rule young: draft, stat",
    ]


def test_files_are_judged_as_if_they_had_come_at_another_time(tmp_path, old):
    old.write_text("[[rules]]\nname = 'night'\nwhen = 'hour >= 23 and weekday == \"Mon\"'")
    make_slice(new_uid()).save_as(tmp_path / "1.dcm", enforce_file_format=True)
    result = ran("test", tmp_path / "1.dcm", "-c", old, "--at", "2026-11-23T23:30", "--json")
    assert json.loads(result.output)["decision"]["rule"] == "night"


def test_a_received_study_is_judged_by_its_number(received, new):
    assert ran("test", "A1", "-c", new).output.splitlines()[-1] == "rule outside: no draft"


@pytest.mark.parametrize(
    ("wanted", "said"), [("A9", "no study has this number"), (".", "no DICOM")]
)
def test_what_is_not_there_is_said(received, new, wanted, said, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    result = ran("test", empty if wanted == "." else wanted, "-c", new)
    assert (result.exit_code, said in result.output) == (1, True)


def test_a_replay_lists_what_would_have_been_otherwise(received, old, new):
    result = ran("replay", "--settings", new, "-c", old)
    told = result.output.splitlines()
    assert [line.split()[2] for line in told if line.startswith("20")] == ["A1", "A2"]
    assert told[1:3] == ["    now: rule all: draft, routine", "    new: rule outside: no draft"]
    assert told[-1] == "2 of 3 drafts would be decided otherwise"


def test_a_replay_says_what_it_cannot_tell(received, old, new):
    (received.root / "instances/1.dcm").unlink()
    found = json.loads(ran("replay", "--settings", new, "-c", old, "--json").output)
    assert (found["judged"], found["gone"]) == (2, 1)
    assert [row["study"] for row in found["changed"]] == ["A2"]


@pytest.mark.parametrize(("since", "status"), [("30m", 0), ("2020-01-01", 0), ("tomorrow", 2)])
def test_since_when_is_a_day_or_a_span(received, old, new, since, status):
    result = ran("replay", "--settings", new, "-c", old, "--since", since)
    assert result.exit_code == status
    assert ("0 of 0" in result.output) == (since == "30m")


def test_a_faulty_file_is_refused_with_the_place(old, new):
    new.write_text("[[rules]]\nname = 'a'\nwhen = 'hours > 3'")
    result = ran("replay", "--settings", new, "-c", old)
    assert result.exit_code == 1
    assert "rule a: when: line 3, column 9: unknown name: hours" in result.output
