import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from plugin.cli import main
from plugin.state import audit
from plugin.state.audit import Action, Entry, Subject, this_process
from plugin.state.database import open_database, session_factory

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def service(tmp_path):
    """A service's settings file and its database, with one entry in the trail."""
    engine = open_database(f"sqlite:///{tmp_path / 'ctscribe.db'}")
    sessions = session_factory(engine)
    study = Subject(study_instance_uid="1.2", patient_id="P1")
    with sessions.begin() as session:
        entry = Entry(action=Action.VIEWED, who=this_process(), study=study)
        audit.record(session, entry, now=NOON)
    config = tmp_path / "ctscribe.toml"
    config.write_text('[storage]\nspool = "."\n')
    yield config, engine
    engine.dispose()


def run(config, *words):
    return CliRunner().invoke(main, ["audit", *words, "-c", str(config)])


def test_verify_prints_a_hash_and_takes_it_again(service):
    config, _ = service
    told = run(config, "verify")
    assert told.output.startswith("1 entry, unbroken; newest hash ")
    head = told.output.split()[-1]
    assert run(config, "verify", "--head", head).exit_code == 0
    assert json.loads(run(config, "verify", "--json").output) == {
        "entries": 1,
        "head": head,
        "problem": None,
        "cut": 0,
        "read": 0,
    }


@pytest.mark.parametrize("words", [("audit", "verify"), ("audit", "export"), ("prune",)])
def test_a_service_that_is_not_there_is_not_begun(tmp_path, words):
    config = tmp_path / "other.toml"
    config.write_text('[storage]\nspool = "elsewhere"\n')
    told = CliRunner().invoke(main, [*words, "-c", str(config)])
    assert (told.exit_code, "there is no database at" in told.stderr) == (1, True)
    assert not (tmp_path / "elsewhere").exists()


def test_verify_of_a_broken_trail_fails_and_says_where(service):
    config, engine = service
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER audit_refuses_delete"))
        connection.execute(text("DELETE FROM audit"))
        connection.execute(text("INSERT INTO audit VALUES (2, '2026-01-01', NULL, '{}', 'f')"))
    told = run(config, "verify")
    assert (told.exit_code, told.output) == (1, "BROKEN after 0 entries: entry 1 is missing\n")


def test_an_export_is_for_its_owner_and_is_an_entry_itself(service, tmp_path):
    config, _ = service
    out = tmp_path / "trail.jsonl"
    assert run(config, "export", "-o", str(out)).exit_code == 0
    first, second = map(json.loads, out.read_text().splitlines())
    assert first["entry"]["study"] == {"study_instance_uid": "1.2", "patient_id": "P1"}
    assert second["entry"]["action"] == "trail read"
    assert out.stat().st_mode & 0o077 == 0


def test_an_export_as_dicom_is_one_audit_message_a_line(service):
    config, _ = service
    told = run(config, "export", "--form", "dicom", "--until", "2026-01-02")
    (line,) = told.output.splitlines()
    assert line.startswith("<AuditMessage>")
    assert 'ParticipantObjectID="P1"' in line
