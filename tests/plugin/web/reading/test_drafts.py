"""What a page tells of how sure a model is, read back from the report object."""

from __future__ import annotations

from typing import Any
from unittest.mock import sentinel

from plugin.state.tables import Draft
from plugin.web.reading.drafts import Written, plain_sections, told
from reporting.draft import assertions_in
from reporting.objects.sr import build_sr
from reporting.text.confidence import Assessed
from tests.reporting.studies import ct_header, draft_of

TEXT = "Findings: There is ascites. No nodule. The spleen is small. Impression: Ascites."
SET = "phantoms, 300 studies"


def written(withhold: bool = False, calibrated_on: str = SET) -> Written:
    spans = assertions_in(TEXT)
    levels = dict(zip(spans, ("low", "high"), strict=False)) | {spans[-1]: "low"}
    assessed = Assessed(levels, calibrated_on, ("renal stone",), withhold=withhold)
    draft = draft_of(TEXT, assessed=assessed)
    row = Draft(
        sop_instance_uid="1.2",
        revision=1,
        state="complete",
        model_name="m",
        calibrated_on=calibrated_on,
        withheld=[
            [part.heading.name, one.text] for part in draft.withheld for one in part.sentences
        ],
    )
    return Written(row, build_sr(draft, [ct_header()]))


def page(one: Written) -> dict[str, Any]:
    return told(one, sentinel.sessions, sentinel.spool)  # no slice is named: nobody is asked


def levels(draft: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        (one["text"], one["confidence"] and one["confidence"]["level"])
        for section in draft["sections"]
        for one in section["sentences"]
    ]


def test_every_sentence_has_its_word_and_no_mark() -> None:
    draft = page(written())
    assert levels(draft)[:4] == [
        ("Ascites.", "low"),
        ("There is ascites.", "low"),
        ("The spleen is small.", None),
        ("No nodule.", "high"),
    ]
    assert (draft["has_confidence"], draft["calibrated_on"]) == (True, SET)
    assert draft["notices"][-1] == "Not mentioned, but possibly present: renal stone."
    assert not any("Confidence" in one for one in draft["notices"])


def test_a_review_begins_without_the_marks() -> None:
    assert not any("[" in one["text"] for one in plain_sections(written().report))


def test_uncalibrated_sentences_have_no_word() -> None:
    draft = page(written(calibrated_on=""))
    assert {level for _, level in levels(draft)} == {None}
    assert (draft["has_confidence"], draft["calibrated_on"]) == (False, "")


def test_what_is_withheld_is_told_with_its_reason() -> None:
    one = written(withhold=True)
    assert "scites" not in str(one.report)
    impression, findings, _ = page(one)["sections"]
    (_, withheld) = impression["sentences"]
    assert (withheld["text"], withheld["withheld"]) == ("Ascites.", {"reason": "low-confidence"})
    kept = [(one["text"], bool(one["withheld"])) for one in findings["sentences"]]
    assert kept == [
        ("The spleen is small.", False),
        ("No nodule.", False),
        ("There is ascites.", True),
    ]
    assert plain_sections(one.report)[0]["text"] == ""
