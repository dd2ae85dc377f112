import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugin.feedback.agreement import Month, agreement
from training.evaluation.findings.reader import read_findings


def compared(drafted: str, signed: str) -> dict[str, list[str]]:
    found = agreement(read_findings(drafted), read_findings(signed)).to_dict()
    return {kind: said for kind, said in found.items() if said}


@pytest.mark.parametrize(
    ("drafted", "signed", "found"),
    [
        ("Cardiomegaly.", "The heart is enlarged.", {"agreed": ["cardiomegaly"]}),
        ("Cardiomegaly.", "The heart is normal.", {"invented": ["cardiomegaly"]}),
        ("Normal.", "Left pleural effusion.", {"missed": ["left pleural effusion"]}),
        (
            "Left pleural effusion.",
            "Right pleural effusion.",
            {"changed": ["left pleural effusion → right pleural effusion"]},
        ),
        (
            "A 12 mm left renal cyst.",
            "A 30 mm left renal cyst.",
            {"changed": ["left renal cyst 12 mm → left renal cyst 30 mm"]},
        ),
        (
            "A 12 mm left renal cyst.",
            "A 13 mm left renal cyst.",
            {"agreed": ["left renal cyst 13 mm"]},
        ),
        (
            "Bilateral pleural effusions.",
            "Left pleural effusion.",
            {"agreed": ["left pleural effusion"], "invented": ["right pleural effusion"]},
        ),
        ("Possible embolism of the lung.", "Normal.", {}),
        ("No ascites.", "No ascites.", {}),
        (
            "Findings: Cardiomegaly. Impression: Cardiomegaly.",
            "Cardiomegaly.",
            {"agreed": ["cardiomegaly"]},
        ),
    ],
)
def test_a_draft_is_compared_by_finding_side_and_size(drafted, signed, found):
    assert compared(drafted, signed) == found


TEXTS = st.lists(
    st.sampled_from(
        ["Cardiomegaly.", "Left pleural effusion.", "A 9 mm right renal cyst.", "Ascites."]
    ),
    unique=True,
).map(" ".join)


@given(TEXTS, TEXTS)
def test_nothing_that_either_asserts_is_counted_twice_or_lost(drafted, signed):
    found = agreement(read_findings(drafted), read_findings(signed))
    both = len(found.agreed) + len(found.changed)
    assert both + len(found.invented) == len(read_findings(drafted))
    assert both + len(found.missed) == len(read_findings(signed))


def test_a_month_counts_findings_without_side_and_size():
    month = Month("m", "2026-11")
    month.add(agreement(
        read_findings("Left pleural effusion. A 12 mm left renal cyst."),
        read_findings("Right pleural effusion. Left renal cyst, 12 mm. Ascites."),
    ).to_dict())  # fmt: skip
    month.add(agreement([], []).to_dict())
    assert (month.compared, month.unchanged) == (2, 1)
    assert month.findings["changed"] == {"pleural effusion": 1}
    assert month.findings["agreed"] == {"renal cyst": 1}
    assert month.findings["missed"] == {"ascites": 1}
