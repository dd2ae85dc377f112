from __future__ import annotations

from datetime import datetime

import pytest
from pydicom import Dataset

from plugin.rules.condition import Condition
from plugin.rules.decision import Decision
from plugin.rules.facts import FLAGS, NUMBERS, TEXTS, Arrived, Facts, kind_of
from plugin.rules.problems import ConditionError
from plugin.rules.rules import Rule, Rules
from plugin.rules.urgency import Urgency, urgency_in

MONDAY_NIGHT = datetime(2026, 11, 23, 23, 30)


def facts(images: int = 100, priority: str = "", sender: str = "CT1", **header: object) -> Facts:
    dataset = Dataset()
    dataset.update(
        {"StudyDescription": "Thorax nativ", "StudyDate": "20261120", "Modality": "CT"} | header
    )
    return Facts(dataset, images, Arrived(MONDAY_NIGHT, sender), priority)


@pytest.mark.parametrize(
    "condition",
    [
        'StudyDescription =~ "thorax"',
        'StudyDescription =~~ "NATIV$"',
        '"nativ" in StudyDescription',
        'Modality in ["CT", "PT"] and sender == "CT1"',
        "study_age_days == 3",
        "hour >= 22 or hour < 6",
        'weekday == "Mon" and not redraft',
        "images >= 100",
        'PatientName =~~ "test.*one"',
        'PatientName == "Test^One"',
    ],
)
def test_a_condition_that_holds(condition):
    assert Condition(condition).holds(facts(PatientName="Test^One"))


@pytest.mark.parametrize(
    ("age", "born", "years"),
    [("034Y", "", 34), ("018M", "", 1.5), ("003D", "", 0), ("", "19961120", 30), ("", "", None)],
)
def test_the_age_of_a_patient_comes_from_either_attribute(age, born, years):
    seen = facts(PatientAge=age, PatientBirthDate=born)["patient_age_years"]
    assert seen != seen if years is None else seen == pytest.approx(years, abs=0.01)


@pytest.mark.parametrize(
    "condition",
    [
        'sender =~ "([0-9]{1,3}[.])+"',
        'sender =~ "a+b*.*c"',
        'sender in ["a", "b"]',
        "sender != null",
        '"CT" in sender',
    ],
)
def test_what_only_looks_like_a_trap_is_taken(condition):
    Condition(condition)


@pytest.mark.parametrize("name", [*NUMBERS, *TEXTS, *FLAGS, "SliceThickness", "BodyPartExamined"])
def test_nothing_that_is_absent_is_an_error(name):
    """At 3 a.m. the first study without the attribute arrives."""
    nobody = Facts(Dataset(), 0, Arrived(MONDAY_NIGHT))
    compared = {float: "{} < 18 or {} > 18", str: '{} == "x" or {} =~ "x"', bool: "{} and not {}"}
    condition = compared[kind_of(name)].format(name, name)
    expected = name == "hour" or name == "images"
    assert Condition(condition).holds(nobody) is expected


@pytest.mark.parametrize("value", [b"x", b"\xff\xfe", b"1_0", b"1e999", b"\\\\", b""])
def test_a_value_that_cannot_be_read_is_as_absent(value):
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag

    header = Dataset()
    for tag, representation in ((0x00180050, "DS"), (0x00081030, "LO"), (0x00080020, "DA")):
        raw = RawDataElement(Tag(tag), representation, len(value), value, 0, False, True)
        header[tag] = raw
    condition = Condition('SliceThickness < 9 or StudyDescription == "y" or study_age_days < 9')
    assert not condition.holds(Facts(header, 1, Arrived(MONDAY_NIGHT)))


@pytest.mark.parametrize(
    ("condition", "offset", "said"),
    [
        ('StudyDescripton == "x"', 0, "did you mean StudyDescription?"),
        ('sender == "a" and hours > 3', 18, "did you mean hour?"),
        ('sender == "a" and hour < "x"', 18, "a text and a number"),
        ("StudyDescription == 3", 0, "a text and a number"),
        ("3 != StudyDescription", 5, "a text and a number"),
        ("hour > 3 and not (sender in [1, 2])", 18, "a text and a number"),
        ('sender =~ "(a+)+b"', 11, "can take for ever"),
        ('sender =~ "(x|y*)*" or hour < 3', 11, "can take for ever"),
        ("sender =~ Modality", 0, "written out"),
        ("hour = 3", 5, "not an expression"),
        ("(hour < 3", 9, "ends too early"),
        ("hour < 3 )", 9, "not an expression"),
        ('sender == "a', 10, "not an expression"),
        ('sender =~ "("', 11, "not a regular expression"),
        ("sender", 0, "not a yes or no"),
        ("sender.lenght == 2", 7, "did you mean length?"),
        ("PerFrameFunctionalGroupsSequence == 1", 0, "unknown name"),
        ('__import__("os")', 0, "unknown name"),
        ("sender.__class__ == 1", 7, "no such property"),
        ("", 0, "ends too early"),
    ],
)
def test_a_faulty_condition_is_refused_with_its_place(condition, offset, said):
    with pytest.raises(ConditionError) as caught:
        Condition(condition)
    assert said in str(caught.value)
    assert caught.value.offset == offset


def test_the_first_rule_that_is_met_decides():
    rules = Rules(
        (
            Rule(name="priors", when="study_age_days > 365", draft=False),
            Rule(name="night", when="hour > 22", urgency="stat", destinations=["pacs"], quiet_s=5),
            Rule(name="all", draft=False),
        )
    )
    judged = rules.judge([facts()])
    assert judged.decision == Decision(
        "night", urgency=Urgency.STAT, destinations=("pacs",), quiet_s=5
    )
    assert [(step.rule, step.met) for step in judged.steps] == [("priors", False), ("night", True)]
    assert judged.steps[0].why == "study_age_days is 3"
    assert str(judged.decision) == "rule night: draft, stat, to pacs, after 5 quiet seconds"


def test_one_series_must_meet_the_whole_condition():
    rules = Rules(
        (Rule(name="x", when='SeriesDescription == "lung" and images > 50', draft=False),)
    )
    short, long = facts(3, SeriesDescription="lung"), facts(99, SeriesDescription="topogram")
    assert rules.judge([short, long]).decision.draft
    assert not rules.judge([short, long, facts(99, SeriesDescription="lung")]).decision.draft


def test_without_rules_every_study_is_drafted_as_ever():
    assert Rules().judge([facts()]).decision == Decision()
    assert str(Decision()) == "no rule: draft, routine"


def test_a_condition_without_an_answer_does_not_hold_and_says_so():
    (step,) = Rules((Rule(name="x", when='StationName[0] == "A"'),)).judge([facts()]).steps
    assert (step.met, step.fault) == (False, True)


@pytest.mark.parametrize(
    ("keyword", "value", "urgency"),
    [
        ("RequestedProcedurePriority", "STAT", Urgency.STAT),
        ("RequestedProcedurePriority", " stat ", Urgency.STAT),
        ("ReportingPriority", "HIGH", Urgency.HIGH),
        ("StudyPriorityID", "LOW", Urgency.LOW),
        ("StudyPriorityID", "MEDIUM", Urgency.ROUTINE),
        ("RequestedProcedurePriority", "whenever", None),
        ("RequestedProcedurePriority", None, None),
        ("PatientName", "STAT", None),
    ],
)
def test_headers_say_how_urgent_a_study_is(keyword, value, urgency):
    header = Dataset()
    setattr(header, keyword, value)
    assert urgency_in(header) is urgency


def test_a_rule_without_urgency_keeps_what_the_headers_say():
    rules = Rules((Rule(name="x"),))
    assert rules.judge([facts()], Urgency.STAT).decision.urgency is Urgency.STAT


@pytest.mark.parametrize(
    "decision",
    [
        Decision(),
        Decision("x", draft=False),
        Decision("x", True, "m", ("a", "b"), ("pdf",), Urgency.STAT, 3.5, 60.0, "copy", "final"),
    ],
)
def test_a_decision_is_kept_and_read(decision):
    import json

    assert Decision.of_kept(json.loads(json.dumps(decision.kept()))) == decision


def test_the_same_rules_have_the_same_digest():
    one, other = Rules((Rule(name="x"),)), Rules((Rule(name="x", draft=False),))
    assert one.digest == Rules((Rule(name="x"),)).digest != other.digest
