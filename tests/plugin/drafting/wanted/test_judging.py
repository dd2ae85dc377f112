"""Rules at work: before a study is drafted, and for those that wait."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from dicom_io.errors import ConfigurationError
from plugin.drafting import jobs
from plugin.drafting.wanted.judging import Judge, forget_judgements
from plugin.drafting.wanted.rules_file import RulesFile
from plugin.drafting.worker import Worker
from plugin.reception import intake
from plugin.rules.rules import Rule, Rules
from plugin.rules.urgency import Urgency
from plugin.state.clock import now_of
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.kept.orders import Order
from plugin.state.tables import Delivery, Draft, Event, Job, Study
from plugin.state.watch import Watch
from tests.plugin.arrivals import PATIENCE, arrival
from tests.plugin.intake_objects import make_slice, new_uid
from tests.plugin.model import Model


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def arrive(sessions: SessionFactory, spool: Spool):
    def arrive(
        number: int,
        *,
        ago: timedelta = timedelta(hours=1),
        sender: str = "CT1",
        redraft: bool = False,
        **header: object,
    ) -> None:
        """The one slice of a study of its own, with a header in the spool."""
        image = make_slice(new_uid())
        image.update(header)
        (spool.root / "instances").mkdir(exist_ok=True)
        image.save_as(spool.root / f"instances/{number}.dcm", enforce_file_format=True)
        one = replace(arrival(number, study=f"1.2.{number}"), sender=sender, redraft=redraft)
        with sessions.begin() as session:
            intake.record(session, [one], patience=PATIENCE, now=datetime.now(UTC) - ago)

    return arrive


@pytest.fixture
def judge(sessions: SessionFactory, spool: Spool):
    def judge(*rules: Rule) -> Judge:
        return Judge(sessions, spool, Rules(rules), PATIENCE.quiet.total_seconds())

    return judge


@pytest.fixture
def worker(sessions: SessionFactory, spool: Spool, model: Model, judge: Any):
    def worker(*rules: Rule, **other: Any) -> Worker:
        places = {"pacs": "dimse", "ris": "hl7"}
        return Worker(sessions, spool, model.report, places, judge=judge(*rules), **other)

    return worker


def told(rows: Any, kind: str) -> list[str]:
    return [event.message for event in rows(Event) if event.kind == kind]


def test_a_study_that_a_rule_does_not_want_gets_no_draft_unless_somebody_asks(worker, arrive, rows):
    rule = Rule(name="outside", when='sender != "CT1"', draft=False)
    arrive(1, sender="ELSEWHERE")
    arrive(2, sender="ELSEWHERE", redraft=True)
    arrive(3)
    at_work = worker(rule)
    while at_work.work_once():
        pass
    assert sorted(draft.study_id for draft in rows(Draft)) == [2, 3]
    assert told(rows, "failed") == ["no draft: the rule outside wants none"]
    assert rows(Event)[-1].level != "alert"


def test_a_draft_goes_where_its_rule_says_in_the_forms_that_it_says(worker, arrive, rows):
    arrive(1)
    worker(Rule(name="x", destinations=["pacs"], forms=["pdf"])).work_once()
    (delivery,) = rows(Delivery)
    assert (delivery.destination, delivery.forms) == ("pacs", ["pdf"])


def test_the_model_that_a_rule_names_writes(worker, arrive, model, rows):
    arrive(1)
    other = Model()
    asked = []

    def named(name: str) -> Any:
        asked.append(name)
        return other.report

    worker(Rule(name="x", model="chest"), named=named).work_once()
    assert asked == ["chest"]
    assert (len(other.calls), len(model.calls)) == (1, 0)


def test_a_model_that_there_is_no_more_fails_the_study_with_its_name(worker, arrive, rows):
    arrive(1)
    worker(Rule(name="x", model="chest")).work_once()
    assert "no model is called chest" in rows(Event)[-1].message


def test_the_timeline_tells_rule_and_condition_once_and_no_value_of_the_header(
    worker, arrive, rows, caplog
):
    arrive(1, PatientID="TEST-77")
    when = 'PatientID =~ "test"'
    worker(Rule(name="phantoms", when=when, urgency="low")).work_once()
    assert told(rows, "judged") == [f"rule phantoms: draft, low; it holds that {when}"]
    assert "TEST-77" not in caplog.text + str([event.message for event in rows(Event)])


def test_without_rules_the_timeline_says_nothing_of_them(worker, arrive, rows):
    arrive(1)
    worker().work_once()
    assert told(rows, "judged") == []


def test_the_timeline_tells_who_asked_for_an_urgency(worker, arrive, rows, sessions):
    arrive(1, RequestedProcedurePriority="HIGH")
    with sessions.begin() as session:
        number = session.scalars(select(Study.accession_number)).one()
        order = Order(accession_number=number, study_instance_uid="1.2.1", urgency=0)
        order.told_at = now_of(session)
        session.add(order)
    arrive(2, RequestedProcedurePriority="HIGH")
    for _ in range(2):
        worker().work_once()
    ordered, read = "draft, stat; the order says stat", "draft, high; the images say high"
    assert told(rows, "judged") == [f"no rule: {ordered}", f"no rule: {read}"]


def test_urgent_studies_go_first_and_the_others_are_not_starved(worker, arrive, rows, sessions):
    for number in range(8):
        arrive(number, ago=timedelta(hours=2) - timedelta(seconds=number))
    for number in range(8, 14):
        arrive(number, RequestedProcedurePriority="STAT")
    at_work = worker()
    order = []
    for _ in range(8):
        at_work.work_once()
        order.append(rows(Draft)[-1].study_id)
    stat, fair = set(range(9, 15)), {order[3], order[7]}
    assert set(order) - fair == stat
    assert fair == {1, 2}, "every fourth is the one that waits longest"


def test_how_long_a_study_waited_stands_beside_its_class(worker, arrive, rows):
    arrive(1, RequestedProcedurePriority="STAT")
    worker().work_once()
    (job,) = rows(Job)
    assert job.urgency == Urgency.STAT
    assert job.begun_at - job.deadline > timedelta(minutes=58)


def test_a_rule_shortens_the_wait_for_more_slices(arrive, judge, rows, sessions):
    arrive(1, ago=timedelta(seconds=20))
    judge(Rule(name="x", quiet_s=5)).look(datetime.now(UTC))
    claimed = jobs.claim_job(sessions, Watch(PATIENCE), attempts=3, now=datetime.now(UTC))
    assert claimed is not None
    assert rows(Study)[0].quiet_s == 5


def test_later_slices_wait_as_the_rule_says(arrive, judge, rows, sessions):
    arrive(1, ago=timedelta(seconds=20))
    judge(Rule(name="x", quiet_s=5)).look(datetime.now(UTC))
    now = datetime.now(UTC)
    with sessions.begin() as session:
        intake.record(session, [arrival(9, study="1.2.1")], patience=PATIENCE, now=now)
    assert rows(Job)[0].deadline == now + timedelta(seconds=5)


def test_a_rule_prolongs_the_wait_for_more_slices(worker, arrive, rows, sessions):
    arrive(1, ago=timedelta(seconds=70))
    longest = replace(PATIENCE, longest=timedelta(seconds=500))
    at_work = worker(Rule(name="x", quiet_s=500), watch=Watch(longest))
    assert not at_work.work_once()
    (job,) = rows(Job)
    assert job.deadline == rows(Study)[0].last_received_at + timedelta(seconds=500)


def test_a_draft_that_nobody_wants_any_more_is_not_made(worker, arrive, rows, model):
    arrive(1)
    worker(Rule(name="x", wanted_s=600)).work_once()
    assert model.calls == []
    assert "nobody wants it later than 600 s" in told(rows, "failed")[0]


def test_a_study_whose_files_are_gone_meets_rules_without_a_condition_only(
    worker, arrive, rows, spool
):
    arrive(1)
    (spool.root / "instances/1.dcm").unlink()
    worker(Rule(name="ct", when='Modality == "CT"'), Rule(name="rest", urgency="low")).work_once()
    assert told(rows, "judged") == ["rule rest: draft, low"]


def test_other_rules_judge_those_that_wait_anew(arrive, judge, rows, sessions):
    arrive(1, ago=timedelta(0))
    judge(Rule(name="one", urgency="low")).look(datetime.now(UTC))
    second = judge(Rule(name="two", urgency="stat"))
    second.look(datetime.now(UTC))
    assert rows(Job)[0].urgency == Urgency.LOW
    forget_judgements(sessions)
    second.look(datetime.now(UTC))
    assert rows(Job)[0].urgency == Urgency.STAT
    assert told(rows, "judged") == ["rule one: draft, low", "rule two: draft, stat"]


def test_a_study_is_judged_once_while_it_arrives(arrive, judge, sessions, monkeypatch):
    arrive(1, ago=timedelta(0))
    asking = judge()
    asking.look(datetime.now(UTC))
    monkeypatch.setattr(Judge, "judge", lambda *_: pytest.fail("once more"))
    asking.look(datetime.now(UTC))


class File:
    """A settings file that says what a test wants."""

    def __init__(self, path: Path) -> None:
        self.path, self.rules = path, Rules((Rule(name="first"),))
        self.error: str | None = None
        self.write()

    def write(self) -> None:
        new = self.path.with_suffix(".new")
        new.write_text("")
        new.replace(self.path)

    def load(self) -> Rules:
        if self.error:
            raise ConfigurationError(self.error)
        return self.rules


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "ctscribe.toml")


def test_a_changed_file_is_noticed_and_told_once(sessions, file, rows):
    watching = [RulesFile(sessions, file.path, file.load, file.rules) for _ in range(2)]
    assert [one.changed() for one in watching] == [None, None]
    file.rules = Rules((Rule(name="second"),))
    file.write()
    assert [one.changed() for one in watching] == [None, None]
    assert [one.changed() for one in watching] == [file.rules] * 2
    first, second = told(rows, "rules changed")
    assert first.endswith(": first")
    assert second.endswith(": second; new: second; gone: first")


def test_a_faulty_file_changes_nothing_and_is_told_once(sessions, file, rows):
    watching = [RulesFile(sessions, file.path, file.load, file.rules) for _ in range(2)]
    file.error = "ctscribe.toml: rule x: when: line 3, column 9: unknown name"
    file.write()
    assert [one.changed() for one in watching * 2] == [None] * 4
    (message,) = told(rows, "rules refused")
    assert message == f"the rules stay as they are: {file.error}"
    assert watching[0].rules.rules[0].name == "first"


def test_a_file_is_read_once_it_stands_still(sessions, file, rows):
    watching = RulesFile(sessions, file.path, file.load, file.rules)
    file.rules = Rules()
    watching.ask()
    for half in "", "[[rules]]", "[[rules]]\nname":
        file.path.write_text(half)
        assert watching.changed() is None
    file.rules = Rules((Rule(name="second"),))
    assert watching.changed() is file.rules
    assert told(rows, "rules changed")[1].endswith(": second; new: second; gone: first")


def test_a_file_that_is_being_replaced_changes_nothing(sessions, file, rows):
    watching = RulesFile(sessions, file.path, file.load, file.rules)
    file.path.unlink()
    file.error = "ctscribe.toml: No such file"
    assert watching.changed() is None
    assert watching.rules.rules[0].name == "first"


def test_a_hangup_reads_a_file_that_seems_unchanged(sessions, file):
    watching = RulesFile(sessions, file.path, file.load, file.rules)
    file.rules = Rules((Rule(name="second"),))
    assert watching.changed() is None
    watching.ask()
    assert watching.changed() is file.rules
