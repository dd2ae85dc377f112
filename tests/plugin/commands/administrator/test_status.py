"""What `ctscribe status` says at every point of a study's life."""

from __future__ import annotations

import json
import os
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, select, update

from dicom_io.errors import EngineUnavailable
from engine.fake import FakeEngine
from engine.protocol import ModelIdentity
from plugin.cli import main
from plugin.drafting import job_ends, jobs
from plugin.drafting.engine_watch import EngineWatch
from plugin.drafting.job_ends import NewDraft
from plugin.reception import intake
from plugin.rules.decision import Decision
from plugin.rules.urgency import Urgency
from plugin.state.database import open_database, session_factory
from plugin.state.running.pulse import Pulse
from plugin.state.tables import Delivery, DeliveryState, Draft, DraftState, Job, Study, StudyState
from plugin.state.watch import Watch
from tests.plugin.arrivals import PATIENCE, arrival, document

LONG_AGO = datetime.now(UTC) - timedelta(hours=5)


@pytest.fixture
def engine(tmp_path: Path):
    (tmp_path / "spool").mkdir()
    engine = open_database(f"sqlite:///{tmp_path / 'spool' / 'ctscribe.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def sessions(engine: Engine):
    return session_factory(engine)


@pytest.fixture
def arrive(sessions):
    def arrive(one=None, *, now: datetime = LONG_AGO) -> None:
        with sessions.begin() as session:
            one = one or arrival(1)
            intake.record(session, [one], patience=PATIENCE, now=now)

    return arrive


@pytest.fixture
def status(tmp_path: Path):
    config = tmp_path / "ctscribe.toml"
    config.write_text('[storage]\nspool = "spool"\n')

    def status(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["status", *arguments, "-c", str(config)])

    return status


def drafted(sessions) -> None:
    claim = jobs.claim_job(sessions, Watch(), attempts=3, now=datetime.now(UTC))
    draft = NewDraft("1.2.7.1", "1.2.7", "0" * 64, DraftState.COMPLETE, "drafts/1.2.7.1.dcm")
    job_ends.finish_with_draft(
        sessions, claim, draft, destinations={"pacs": "dimse"}, now=datetime.now(UTC)
    )


def test_before_the_first_study_it_says_so(status, engine):
    assert status().stdout == "no study has arrived yet\n"


def test_a_dead_process_is_an_alert_and_a_living_one_is_none(status, engine, tmp_path):
    folder = tmp_path / "spool" / "processes"
    folder.mkdir()
    (folder / "work.4@elsewhere").touch()
    with closing(Pulse(tmp_path / "spool", "receive")):
        assert status().stdout.splitlines()[0] == "ALERT: work (process 4 on elsewhere) dead"
        found = json.loads(status("--json").stdout)["processes"]
    assert [(one["part"], one["state"]) for one in found] == [
        ("receive", "alive"),
        ("work", "dead"),
    ]


def test_an_unknown_study_is_one_clear_error(status, engine):
    result = status("A999")
    assert result.exit_code == 1
    assert result.stderr == (
        "ctscribe: no study has this number now: it has not arrived, or its number was corrected; "
        "try the Study Instance UID\n"
    )


@pytest.mark.parametrize("name", ["A1", "1.2"])
def test_a_study_is_found_by_accession_number_and_by_uid(status, arrive, name):
    arrive()
    assert "study 1.2: 1 instance" in status(name).stdout


def test_while_slices_come_it_says_until_when_it_waits(status, arrive):
    arrive(now=datetime.now(UTC))
    assert "waiting for more slices until 20" in status("1.2").stdout


def test_while_the_model_works_it_says_so(status, arrive, sessions):
    arrive()
    jobs.claim_job(sessions, Watch(), attempts=3, now=datetime.now(UTC))
    told = status("1.2").stdout
    assert "now: the model is at work" in told
    assert f"last worked on by process {os.getpid()} on " in told
    (study,) = json.loads(status("1.2", "--json").stdout)["studies"]
    assert study["worker"].startswith(f"process {os.getpid()} on ")


def test_a_failed_study_says_why_there_is_no_draft(status, arrive, sessions):
    arrive()
    claim = jobs.claim_job(sessions, Watch(), attempts=3, now=datetime.now(UTC))
    job_ends.fail_job(sessions, claim, "no series is a CT volume", now=datetime.now(UTC))
    assert "now: no draft: no series is a CT volume" in status("1.2").stdout


def test_a_postponed_study_says_when_and_why(status, arrive, sessions):
    arrive()
    claim = jobs.claim_job(sessions, Watch(), attempts=3, now=datetime.now(UTC))
    job_ends.retry_job(sessions, claim, "the engine is down", attempts=3, now=datetime.now(UTC))
    told = status("1.2").stdout
    assert "tried again at 20" in told
    assert "the engine is down" in told


def unavailable() -> ModelIdentity:
    raise EngineUnavailable("ConnectError")


def test_while_the_engine_is_down_the_list_and_the_studies_that_wait_say_so(
    status, arrive, sessions
):
    arrive()
    EngineWatch(sessions, "http://gpu:11180", unavailable).ready()
    told = "the engine is down, studies wait: ConnectError (since 20"
    assert status().stdout.startswith(f"ALERT: {told}")
    assert f"now: due: {told}" in status("1.2").stdout
    assert json.loads(status("--json").stdout)["alert"].startswith(told)


def test_once_the_engine_answers_again_nothing_is_said_of_it(status, arrive, sessions):
    arrive()
    EngineWatch(sessions, "http://gpu:11180", unavailable).ready()
    EngineWatch(sessions, "http://gpu:11180", lambda: FakeEngine().identity).ready()
    assert "engine" not in status().stdout + status("1.2").stdout


def test_a_study_of_documents_alone_says_that_nothing_can_be_read(status, arrive):
    arrive(document(1))
    assert "no draft: no image that the model could read has arrived" in status("1.2").stdout


def test_a_draft_is_told_with_its_delivery(status, arrive, sessions):
    arrive()
    drafted(sessions)
    assert "now: draft 1 (complete): pacs pending" in status("1.2").stdout
    with sessions.begin() as session:
        delivery = session.scalars(select(Delivery)).one()
        delivery.state, delivery.last_error = DeliveryState.FAILED, "refused with 0xA900"
    assert "pacs failed (refused with 0xA900)" in status("1.2").stdout


def test_a_rejection_note_is_told_until_it_has_arrived(status, arrive, sessions):
    arrive()
    drafted(sessions)
    with sessions.begin() as session:
        draft = session.scalars(select(Draft)).one()
        draft.retraction_path = "drafts/note.dcm"
        note = Delivery(destination="orthanc", kind="orthanc", retracts=True)
        note.state, note.last_error = DeliveryState.FAILED, "refused with 0xA900"
        note.not_before = LONG_AGO
        draft.deliveries.append(note)
    told = "; rejection note of draft 1: orthanc failed (refused with 0xA900)\n"
    assert status("1.2").stdout.endswith(told)
    assert status().stdout.endswith(told)
    assert json.loads(status("--json").stdout)["studies"][0]["rejection_notes"] == [
        {"revision": 1, "destination": "orthanc", "state": "failed", "attempts": 0}
    ]
    with sessions.begin() as session:
        one = session.scalars(select(Delivery).where(Delivery.retracts)).one()
        one.state = DeliveryState.PROVED
    assert "rejection note" not in status("1.2").stdout


def test_slices_that_came_after_the_draft_and_made_no_new_one_are_told(status, arrive, sessions):
    arrive()
    drafted(sessions)
    arrive(arrival(2))
    claim = jobs.claim_job(sessions, Watch(), attempts=3, now=datetime.now(UTC))
    job_ends.fail_job(sessions, claim, "no series is a CT volume", now=datetime.now(UTC))
    told = "draft 1 (complete): pacs pending; revision 2: no new draft: no series is a CT volume\n"
    assert status("1.2").stdout.endswith(told)


def test_the_timeline_is_in_order_of_time(status, arrive, sessions):
    arrive()
    drafted(sessions)
    study = json.loads(status("1.2", "--json").stdout)["studies"][0]
    assert [e["kind"] for e in study["events"]] == ["received", "begun", "drafted"]
    assert study["draft"]["deliveries"] == [
        {"destination": "pacs", "state": "pending", "attempts": 0}
    ]


def test_the_list_shows_the_newest_first(status, arrive):
    arrive(arrival(1, study="1.3"), now=LONG_AGO)
    arrive(arrival(2, study="1.4"), now=LONG_AGO + timedelta(minutes=1))
    rows = json.loads(status("--json").stdout)["studies"]
    assert [row["study_instance_uid"] for row in rows] == ["1.4", "1.3"]
    assert status().stdout.count("\n") == 2


def test_the_accession_number_is_never_printed(status, arrive):
    arrive()
    told = status("A1").stdout + status().stdout + status("A1", "--json").stdout
    assert "A1" not in told


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:///{}/none.db", "there is no database at "),
        ("sqlite:///{}/broken.db", "the database cannot be opened"),
        ("postgresql://127.0.0.1:1/none", "the database cannot be opened"),
    ],
)
def test_a_database_that_cannot_be_opened_is_one_clear_error(tmp_path, url, said):
    (tmp_path / "broken.db").write_bytes(b"no database" * 1000)
    config = tmp_path / "c.toml"
    config.write_text(f'[storage]\ndatabase = "{url.format(tmp_path)}"\n')
    result = CliRunner().invoke(main, ["status", "-c", str(config)])
    assert result.exit_code == 1
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "none.db").exists()


def test_what_a_destination_refused_is_due_again_on_request(tmp_path, status, arrive, sessions):
    arrive()
    drafted(sessions)
    with sessions.begin() as session:
        session.scalars(select(Delivery)).one().state = DeliveryState.FAILED
    config = tmp_path / "c.toml"
    config.write_text(
        '[storage]\nspool = "spool"\n[[destinations]]\nname = "pacs"\nkind = "orthanc"\n'
        'url = "http://127.0.0.1:1"\n'
    )
    result = CliRunner().invoke(main, ["redeliver", "pacs", "-c", str(config)])
    assert result.stdout == "1 draft is due again at pacs\n"
    assert "pacs pending" in status("1.2").stdout


@pytest.mark.parametrize("command", ["redeliver", "verify"])
@pytest.mark.parametrize("name", ["study", "draft"])
@pytest.mark.usefixtures("status", "engine")
def test_a_study_or_draft_that_there_is_not_is_one_clear_error(tmp_path, command, name):
    config = str(tmp_path / "ctscribe.toml")
    result = CliRunner().invoke(main, [command, f"--{name}", "9.9", "-c", config])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"ctscribe: no such {name}: ")
    assert result.stderr.count("\n") == 1


def test_redeliver_wants_to_know_what():
    result = CliRunner().invoke(main, ["redeliver"])
    assert result.exit_code == 2
    assert "--since" in result.stderr


def test_verify_says_how_many_drafts_are_where_they_belong(tmp_path, status, arrive, sessions):
    arrive()
    drafted(sessions)
    config = tmp_path / "c.toml"
    config.write_text('[storage]\nspool = "spool"\n')
    result = CliRunner().invoke(main, ["verify", "--since", "2020-01-01", "-c", str(config)])
    assert result.stdout == "0 drafts looked for, 0 not found where they belong\n"
    assert result.exit_code == 0


@pytest.mark.usefixtures("status", "engine")
def test_an_unknown_destination_is_named_with_those_there_are(tmp_path):
    result = CliRunner().invoke(main, ["redeliver", "pax", "-c", str(tmp_path / "ctscribe.toml")])
    assert result.exit_code == 1
    assert "no destination is called pax; the settings have: none" in result.stderr


@pytest.fixture
def three_studies(sessions, arrive) -> None:
    """One waits for slices, one has no draft and never will, one was not delivered."""
    for number, sender in enumerate(("CT1", "CT1", "CT2"), start=1):
        one = replace(arrival(number, study=f"1.2.{number}"), sender=sender)
        arrive(one, now=LONG_AGO + timedelta(hours=number))
    with sessions.begin() as session:
        for study, state in zip(
            session.scalars(select(Study).order_by(Study.id)),
            ("receiving", "failed", "drafted"),
            strict=True,
        ):
            study.state = state
    with sessions.begin() as session:
        study = session.scalars(select(Study)).all()[2]
        (job,) = study.jobs
        job.state = "done"
        draft = Draft(
            job_id=job.id,
            revision=1,
            state="complete",
            sop_instance_uid="1.9",
            series_instance_uid="1.8",
            path="drafts/1.9.dcm",
            selected_digest="",
            created_at=LONG_AGO,
        )
        draft.deliveries = [
            Delivery(destination="pacs", kind="dimse", state="failed", not_before=LONG_AGO)
        ]
        study.drafts = [draft]


@pytest.mark.parametrize(
    ("options", "listed"),
    [
        ([], "321"),
        (["--failed"], "32"),
        (["--state", "drafted"], "3"),
        (["--sender", "CT1"], "21"),
        (["--sender", "CT1", "--failed"], "2"),
        (["--limit", "2"], "32"),
        (["--since", f"{(LONG_AGO + timedelta(minutes=150)).astimezone():%Y-%m-%dT%H:%M}"], "3"),
        (["--since", "2999-01-01"], ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_list_holds_what_is_asked_for_newest_first(status, three_studies, options, listed):
    studies = json.loads(status(*options, "--json").stdout)["studies"]
    assert [one["study_instance_uid"] for one in studies] == [f"1.2.{n}" for n in listed]
    lines = status(*options).stdout.splitlines()
    assert len(lines) == len(listed) or lines == ["no such study"]


def test_that_nothing_failed_is_told_as_such(status, three_studies, sessions):
    with sessions.begin() as session:
        session.execute(update(Study).values(state=StudyState.DRAFTED))
        session.execute(update(Delivery).values(state=DeliveryState.PROVED))
    told = status("--failed").stdout
    assert told == "no study wants a person: no draft is missing, and none was refused\n"
    assert status("--failed", "--sender", "CT1").stdout == "no such study\n"


def test_more_than_a_screen_is_listed_on_request(status, arrive):
    for number in range(25):
        arrive(arrival(number, study=f"1.2.{number}"))
    assert len(status().stdout.splitlines()) == 20
    assert len(status("--limit", "99").stdout.splitlines()) == 25


@pytest.mark.parametrize("shown", [True, False])
def test_accession_numbers_are_listed_where_the_settings_say_so(status, arrive, tmp_path, shown):
    arrive()
    with (tmp_path / "ctscribe.toml").open("a") as config:
        config.write(f"[status]\naccession_numbers = {str(shown).lower()}\n")
    assert ("  A1  " in status().stdout) is shown
    (study,) = json.loads(status("--json").stdout)["studies"]
    assert study.get("accession_number") == ("A1" if shown else None)


def test_a_study_and_a_filter_exclude_one_another(status, arrive):
    arrive()
    assert status("A1", "--failed").exit_code == 2


def test_json_names_urgency_and_what_the_rules_decided(status, arrive, sessions):
    arrive()
    decided = Decision("night", urgency=Urgency.STAT)
    with sessions.begin() as session:
        kept = {"urgency": int(decided.urgency), "decision": decided.kept()}
        session.execute(update(Job).values(**kept))
    (study,) = json.loads(status("A1", "--json").stdout)["studies"]
    assert (study["urgency"], study["decision"]) == ("stat", "rule night: draft, stat")
