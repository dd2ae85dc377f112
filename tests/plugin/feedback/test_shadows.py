from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dicom_io.errors import EngineUnavailable, OutOfDeviceMemory
from engine.fake import FakeEngine
from plugin.feedback.comparison import Comparison, pairs
from plugin.feedback.shadows import ATTEMPTS
from plugin.state.kept.trials import Shadow
from plugin.state.tables import Delivery, Draft


def test_a_model_on_trial_drafts_the_same_study_and_nothing_of_it_is_sent(drafted, rows):
    ward = drafted()
    (shadow,) = rows(Shadow)
    assert shadow.state == "done"
    assert shadow.text == "Impressions:\nNone.\n\nFindings:\nNo pleural effusion."
    assert shadow.model_digest == ward.trial.identity.digest
    (draft,) = rows(Draft)
    assert {one.draft_id for one in rows(Delivery)} == {draft.id}
    assert len(list((ward.spool.root / "drafts").rglob("*.dcm"))) == 1


def test_drafts_that_are_wanted_go_first(ward, rows):
    ward.arrive(1)
    ward.arrive(2)
    ward.worker.work_once()
    ward.worker.work_once()
    assert (len(rows(Draft)), {one.state for one in rows(Shadow)}) == (2, {"pending"})


def test_a_draft_knows_its_model(drafted, rows):
    ward = drafted()
    (draft,) = rows(Draft)
    assert draft.model_digest == ward.own.identity.digest
    assert ward.own.identity.name in draft.model_name


@pytest.mark.parametrize(
    ("failure", "state", "attempts"),
    [
        (EngineUnavailable("away"), "pending", 0),
        (OutOfDeviceMemory("full"), "failed", 1),
        (ValueError("Müller^Zoë"), "pending", 1),
    ],
)
def test_a_failure_costs_a_comparison_and_no_draft(ward, rows, failure, state, attempts):
    ward.trial = FakeEngine(failure=failure)
    ward.arrive(1)
    while ward.worker.work_once():
        pass
    (shadow,) = rows(Shadow)
    assert (shadow.state, shadow.attempts) == (state, attempts)
    assert "Müller" not in shadow.error
    assert len(rows(Draft)) == 1


def test_what_kills_workers_is_given_up(ward, rows, sessions):
    ward.arrive(1)
    ward.worker.work_once()
    for _ in range(ATTEMPTS):
        assert ward.shadows._claim() is not None  # and the worker dies
        ward.moment += timedelta(hours=1)
    assert not ward.shadows.work_once()
    assert rows(Shadow)[0].error == "given up: no attempt ended"


def test_a_draft_that_was_replaced_is_not_compared(ward, rows):
    ward.arrive(1)
    replace(ward.worker, idle=lambda: False).work_once()
    ward.arrive(1, first=6)
    while ward.worker.work_once():
        pass
    first, second = rows(Shadow)
    assert (first.state, second.state) == ("failed", "done")
    assert first.error == "the draft was replaced by a newer one"


def test_two_models_are_compared_by_findings_and_words(drafted, sessions):
    ward = drafted(2)

    def read(text: str) -> list[str]:
        return ["effusion"] if "Small" in text else []

    found = Comparison()
    for pair in pairs(sessions, ward.spool, "trial", None):
        found.add(pair, read)
    assert (found.pairs, found.same_findings, found.same_text) == (2, 0, 0)
    assert next(pairs(sessions, ward.spool, "trial", None)).current.endswith("effusion.")
    assert found.current_only == {"effusion": 2}
    assert found.differing == [("A1", ["effusion"], [])] * 2
    assert 0.5 < found.words_alike < 1


def test_a_draft_that_was_pruned_is_not_compared(drafted, sessions, rows):
    ward = drafted()
    ward.spool.absolute(rows(Draft)[0].path).unlink()
    assert list(pairs(sessions, ward.spool, "trial", None)) == []


def test_a_shadow_goes_with_its_draft(drafted, sessions, rows):
    drafted()
    with sessions.begin() as session:
        session.query(Delivery).delete()
        session.query(Draft).delete()
    assert rows(Shadow) == []
