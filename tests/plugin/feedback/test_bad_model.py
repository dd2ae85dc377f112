from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import pytest
from pydicom import dcmread
from sqlalchemy import update

from dicom_io.errors import PluginError
from plugin.feedback.bad_model import digest_like, retract_drafts, standing_drafts
from plugin.state.audit import this_person
from plugin.state.tables import Delivery, Draft, Event

NOW = datetime.now(UTC)


@pytest.fixture
def retract(sessions):
    def retract(ward):
        digest = ward.own.identity.digest
        return retract_drafts(sessions, ward.spool, digest, ["strict"], this_person(), NOW)

    return retract


def sent(sessions) -> None:
    with sessions.begin() as session:
        session.execute(update(Delivery).values(state="proved", attempts=1, sends=1))


def test_delivered_drafts_are_rejected_where_that_is_understood(drafted, retract, sessions, rows):
    ward = drafted(2)
    sent(sessions)
    first, _ = list(retract(ward))
    assert (first.study, first.where) == ("A1", (("strict",), ("plain",)))
    notes = [one for one in rows(Delivery) if one.retracts]
    assert [(one.destination, one.state) for one in notes] == [("strict", "pending")] * 2
    note = dcmread(ward.spool.absolute(rows(Draft)[0].retraction_path))
    (study,) = note.CurrentRequestedProcedureEvidenceSequence
    rejected = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert rejected.ReferencedSOPInstanceUID == first.draft
    assert note.ConceptNameCodeSequence[0].CodeValue == "113037"


def test_drafts_that_were_not_sent_are_not_sent_any_more(drafted, retract, rows):
    list(retract(drafted()))
    states = {one.destination: one.state for one in rows(Delivery) if not one.retracts}
    assert states == {"strict": "cancelled", "plain": "cancelled"}


def test_timeline_and_service_say_what_was_retracted(drafted, retract, rows):
    ward = drafted(2)
    list(retract(ward))
    digest = ward.own.identity.digest[:12]
    told = [one for one in rows(Event) if "retracted" in one.kind]
    assert [one.study_id for one in told] == [1, 2, None]
    assert all(one.level == "alert" and digest in one.message for one in told)
    assert told[-1].message == f"2 drafts of the model {digest} were retracted"


def test_a_retraction_that_was_killed_goes_on_with_the_rest(drafted, retract, sessions, rows):
    ward = drafted(3)
    list(islice(retract(ward), 1))
    assert len(standing_drafts(sessions, ward.own.identity.digest)) == 2
    assert len(list(retract(ward))) == 2
    assert list(retract(ward)) == []
    assert len({one.retraction_path for one in rows(Draft)}) == 3


def test_a_draft_whose_object_was_deleted_is_left_to_a_person(drafted, retract, sessions, rows):
    ward = drafted()
    sent(sessions)
    with sessions.begin() as session:
        session.execute(update(Draft).values(path=""))
    (one,) = retract(ward)
    assert (one.where.told, sorted(one.where.by_hand)) == ((), ["plain", "strict"])
    assert "remove it by hand at" in rows(Event)[-2].message


def test_a_study_with_a_retracted_draft_is_drafted_anew_when_it_comes(drafted, retract, rows):
    ward = drafted()
    list(retract(ward))
    ward.arrive(0, first=6)
    while ward.worker.work_once():
        pass
    assert [one.retraction_path is None for one in rows(Draft)] == [False, True]


def test_a_digest_is_named_by_its_beginning(drafted, sessions):
    digest = drafted().own.identity.digest
    assert digest_like(sessions, digest[:8]) == digest
    for wrong, said in ((digest[:7], "at least 8"), ("0" * 12, "no draft"), ("%" * 9, "no draft")):
        with pytest.raises(PluginError, match=said):
            digest_like(sessions, wrong)
