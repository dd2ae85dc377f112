from types import SimpleNamespace
from typing import Any

from dicom_io.phantoms.truth import Finding, Truth
from training.evaluation.findings.facts import facts_of

ASKED = ("ascites", "pleural effusion", "splenomegaly", "cardiomegaly")


def store(report: str, **origin: Any) -> Any:
    image = SimpleNamespace(origin=origin)
    return SimpleNamespace(images={"a": image}, report=lambda key: report)


def test_a_phantom_shows_what_it_was_made_with() -> None:
    truth = Truth("axial", "arterial", (Finding("pleural effusion", "left", 0.5),))
    found = facts_of(store("", truth=truth.to_dict()), "a", ASKED)
    assert found == {
        "ascites": "absent",
        "pleural effusion": "left",
        "splenomegaly": "absent",
        "cardiomegaly": "absent",
    }


def test_a_report_says_what_is_there_and_leaves_open_what_it_doubts() -> None:
    report = "There is ascites. Possible splenomegaly. No pleural effusion."
    found = facts_of(store(report), "a", ASKED)
    assert found == {
        "ascites": "present",
        "pleural effusion": "absent",
        "cardiomegaly": "absent",  # not mentioned
    }
