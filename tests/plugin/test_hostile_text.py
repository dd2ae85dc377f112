"""Text from outside passes through the whole service and never acts on a terminal or a database."""

from __future__ import annotations

import io
import json
import logging
import shutil
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from click.testing import CliRunner
from pydicom.uid import generate_uid
from sqlalchemy import Text, select

from dicom_io.cleaned import cleaned
from dicom_io.errors import PluginError
from engine.fake import FakeEngine
from plugin.command_group import Commands
from plugin.commands.administrator.status import print_timeline
from plugin.console import LogLine
from plugin.drafting.worker import Worker
from plugin.drafting.writing.pipeline import Pipeline
from plugin.reception.receiver import running_receiver
from plugin.state.columns import Base, CleanText
from plugin.state.completeness import Patience
from plugin.state.database import open_database, session_factory
from plugin.state.tables import Event, Job, Level, Study
from plugin.state.timeline import add_event, add_event_once
from tests.ct import ct_stack
from tests.plugin.intake_objects import store
from tests.waiting import eventually

# A NUL, escape sequences of 7 and 8 bits, line breaks, and what reorders a line
HOSTILE = "\0\x1b[2J\x1b]0;owned\x07\r\nALERT: all is well\x9b31m\u202e"
# The longest that LO and SH take, without what splits values
KERNEL, MODEL, ACCESSION = "B\0\x1b[2J\n\u202e", "M\0\x1b]0;x\x07", "A\x1b[2J\n1"
AT_ONCE = Patience(timedelta(0), timedelta(hours=1))

# pydicom warns of values like these
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


@pytest.fixture
def log():
    """All that the service writes into its log, as its own formatter writes it."""
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(LogLine("%(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    yield lines
    root.removeHandler(handler)


def hostile_study():
    uid, series = generate_uid(), [generate_uid(), generate_uid()]
    hu = np.full((8, 16, 16), 40.0)
    for k, kernel in enumerate((KERNEL, KERNEL + "x")):
        for one in ct_stack(hu, np.eye(4) * [3, 1, 1, 1], ConvolutionKernel=kernel):
            one.StudyInstanceUID, one.SeriesInstanceUID = uid, series[k]
            one.ManufacturerModelName, one.AccessionNumber = MODEL, ACCESSION
            one.SeriesNumber, one.SeriesDescription = k, "S" + KERNEL
            yield one


def test_a_hostile_study_is_drafted_and_no_event_log_or_terminal_obeys_it(
    sessions, spool, rows, log
):
    slices = list(hostile_study())
    for one in slices:
        one.AccessionNumber = "A1"  # a draft is filed by it, so it must be plain
    with running_receiver(sessions, spool, patience=AT_ONCE) as port:
        assert set(store(port, *slices)) == {0}
    worker = Worker(sessions, spool, Pipeline(FakeEngine()).make_report, {})
    eventually(worker.work_once)
    messages = [event.message for event in rows(Event)]
    assert any("\\x00" in message for message in messages), messages
    assert rows(Study)[0].state == "drafted"
    assert [message for message in messages if cleaned(message) != message] == []
    assert [line for line in log.getvalue().split("\n") if cleaned(line) != line] == []


def test_an_accession_number_that_is_no_text_makes_no_draft_and_is_told_by_its_name(
    sessions, spool, rows, log
):
    with running_receiver(sessions, spool, patience=AT_ONCE) as port:
        assert set(store(port, *hostile_study())) == {0}
    worker = Worker(sessions, spool, Pipeline(FakeEngine()).make_report, {})
    eventually(worker.work_once)
    (job,) = rows(Job)
    assert "AccessionNumber holds control or escape characters" in job.error
    assert rows(Study)[0].accession_number == cleaned(ACCESSION)


@pytest.mark.parametrize("level", Level)
def test_every_way_into_the_timeline_cleans(sessions, rows, level, log):
    now = datetime.now(UTC)
    with sessions.begin() as session:
        study = Study(
            study_instance_uid="1.2", first_received_at=now, last_received_at=now, state="failed"
        )
        session.add(study)
        session.flush()
        add_event(session, "kind", HOSTILE, now=now, level=level, detail={"what": HOSTILE})
        for _ in range(2):
            add_event_once(session, "once", HOSTILE, now=now, study_id=study.id, level=level)
    told = rows(Event)
    assert [event.kind for event in told] == ["kind", "once"]
    assert {event.message for event in told} == {cleaned(HOSTILE)}
    assert told[0].detail == {"what": cleaned(HOSTILE)}
    assert all(cleaned(line) == line for line in log.getvalue().split("\n"))


def test_every_column_for_a_person_is_cleaned_and_no_other_is_text():
    texts = {
        f"{table.name}.{column.name}": type(column.type)
        for table in Base.metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, Text | CleanText)
    }
    paths = {name for name in texts if name.endswith("path")}
    # JSON, which escapes what a terminal obeys; lines, each of which is cleaned, those that people
    # write at the border of HTTP; a digest; the name of a file that is ours
    lines = {"shadows.text", "finals.text", "templates.text"}
    others = {"audit.record", "people.password", "audit_cuts.file", *lines}
    assert {name for name, kind in texts.items() if kind is not CleanText} == paths | others


def test_every_column_for_a_person_takes_anything(sessions):
    now = datetime.now(UTC)
    with sessions.begin() as session:
        study = Study(
            study_instance_uid="1.2", first_received_at=now, last_received_at=now, state="failed"
        )
        session.add(study)
        session.flush()
        fields = dict.fromkeys(("incomplete", "error"), HOSTILE)
        moments = dict.fromkeys(("deadline", "hard_deadline", "not_before", "created_at"), now)
        session.add(Job(study_id=study.id, revision=1, state="failed", **moments, **fields))
    with sessions() as session:
        job = session.scalars(select(Job)).one()
        assert {job.incomplete, job.error} == {cleaned(HOSTILE)}


def test_a_log_line_stays_one_line_even_with_a_traceback(log):
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logging.getLogger("plugin.test").exception("failed on %s", HOSTILE)
    (line, rest) = log.getvalue().split("\n")
    assert cleaned(line) == line
    assert rest == ""


def test_status_shows_rows_that_an_older_release_wrote(sqlite_template, tmp_path, capsys):
    database_url = f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'old.db')}"
    engine = open_database(database_url)
    sessions, now = session_factory(engine), datetime.now(UTC)
    with sessions.begin() as session:
        study = Study(
            study_instance_uid="1.2", first_received_at=now, last_received_at=now, state="failed"
        )
        session.add(study)
        session.flush()
        event = {"time": now, "study_id": study.id, "kind": "k", "level": "info"}
        raw = Base.metadata.tables["events"]
        session.execute(raw.insert().values(**event, message="x"))
        old = HOSTILE.replace("\0", "")
        session.connection().exec_driver_sql(f"UPDATE events SET message = '{old}'")
    engine.dispose()
    print_timeline(database_url, "1.2", as_json=False)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\x9b" not in shown
    print_timeline(database_url, "1.2", as_json=True)
    assert json.loads(capsys.readouterr().out)["studies"]


def test_an_error_of_ours_is_one_harmless_line():
    group = Commands()

    @group.command()
    def fail() -> None:
        raise PluginError(f"the peer says {HOSTILE}")

    result = CliRunner().invoke(group, ["fail"])
    assert result.exit_code == 1
    assert "\x1b" not in result.stderr
    assert "\0" not in result.stderr
