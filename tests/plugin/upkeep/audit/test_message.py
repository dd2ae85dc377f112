from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path

import pytest
from lxml import etree
from pydicom.sr.codedict import codes

from plugin.state.audit import Action, Entry, Objects, Outcome, Subject, Who
from plugin.upkeep.audit.message import Source, audit_message

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SCHEMA = etree.RelaxNG(etree.parse(Path(__file__).with_name("audit_message.rng")))
SOURCE = Source("ctscribe", "hospital", ("CTSCRIBE", "CTSCRIBE_AGAIN"))
CT1 = Who(kind="node", name="CT1", address="10.0.0.1")
PACS = Who(kind="node", name="pacs", address="pacs.example")
HERE = Who(kind="process", name="ctscribe (process 7)", address="host")
STUDY = Subject(
    study_instance_uid="1.2.3",
    accession_number="A&1",
    patient_id="P<1>",
    objects=(Objects(sop_class_uid="1.2.840.10008.5.1.4.1.1.2", number=3),),
)


def told(entry, source=SOURCE):
    message = etree.fromstring(audit_message(entry, NOON, source).encode())
    SCHEMA.assertValid(message)
    return message


def test_the_schema_refuses_what_is_no_audit_message():
    message = told(Entry(action=Action.SENT, who=HERE, to=PACS, study=STUDY))
    message.remove(message.find("AuditSourceIdentification"))
    assert not SCHEMA.validate(message)


@pytest.mark.parametrize("study", [STUDY, Subject(study_instance_uid="1"), None])
@pytest.mark.parametrize("action", Action)
def test_every_action_is_a_valid_message_of_an_event_that_dicom_knows(action, study):
    entry = Entry(action=action, who=HERE, study=study, detail="why", outcome=Outcome.MINOR_FAILURE)
    message = told(entry)
    known = {codes.DCM.__getattr__(name).value: name for name in codes.DCM.dir()}
    for code in message.iter("EventID", "EventTypeCode", "RoleIDCode"):
        meaning = getattr(codes.DCM, known[code.get("csd-code")]).meaning
        assert (code.get("codeSystemName"), code.get("originalText")) == ("DCM", meaning)


def test_instances_transferred_says_from_where_to_where_and_whose():  # A.5.3.7
    message = told(Entry(action=Action.RECEIVED, who=CT1, study=STUDY))
    event = message.find("EventIdentification")
    assert event.get("EventActionCode") == "C"
    assert event.get("EventDateTime") == "2026-01-01T12:00:00.000+00:00"
    source, destination = message.findall("ActiveParticipant")
    assert (source.get("UserID"), role(source)) == ("CT1", "110153")
    assert (source.get("NetworkAccessPointID"), source.get("NetworkAccessPointTypeCode")) == (
        "10.0.0.1",
        "2",
    )
    assert (destination.get("UserID"), role(destination)) == ("ctscribe", "110152")
    assert destination.get("AlternativeUserID") == "AETITLES=CTSCRIBE;CTSCRIBE_AGAIN"
    assert [one.get("UserIsRequestor") for one in (source, destination)] == ["true", "false"]
    study, patient = message.findall("ParticipantObjectIdentification")
    assert study.get("ParticipantObjectID") == "1.2.3"
    assert study.find("ParticipantObjectIDTypeCode").get("csd-code") == "110180"
    assert study.find("*/Accession").get("Number") == "A&1"
    assert study.find("*/SOPClass").get("NumberOfInstances") == "3"
    assert patient.get("ParticipantObjectID") == "P<1>"
    assert patient.get("ParticipantObjectTypeCodeRole") == "1"


def test_what_was_here_already_is_not_created_by_a_transfer():
    empty = STUDY.model_copy(update={"objects": ()})
    message = told(Entry(action=Action.RECEIVED, who=CT1, study=empty))
    assert message.find("EventIdentification").get("EventActionCode") == "R"


def test_a_draft_that_is_sent_names_itself_and_why_it_failed():
    objects = (Objects(sop_class_uid="1.2.840.10008.5.1.4.1.1.88.22", number=1, uids=("9.8",)),)
    study = STUDY.model_copy(update={"objects": objects})
    failed = Outcome.SERIOUS_FAILURE
    message = told(
        Entry(action=Action.SENT, who=HERE, to=PACS, study=study, outcome=failed, detail="refused")
    )
    assert message.find("EventIdentification").get("EventOutcomeIndicator") == "8"
    assert message.find("*/EventOutcomeDescription").text == "refused"
    assert message.find("*/*/SOPClass/Instance").get("UID") == "9.8"


def test_what_was_configured_is_told_in_words():
    message = told(Entry(action=Action.CONFIGURED, who=HERE, detail="receiver.port"))
    detail = message.find("ParticipantObjectIdentification/ParticipantObjectDetail")
    assert b64decode(detail.get("value")) == b"receiver.port"
    assert message.find("*/EventTypeCode").get("originalText") == "Software Configuration"


def test_a_start_names_the_application_and_no_object():  # A.5.3.1
    message = told(Entry(action=Action.STARTED, who=HERE))
    (application,) = message.findall("ActiveParticipant")
    assert role(application) == "110150"
    assert message.find("ParticipantObjectIdentification") is None


def role(participant):
    return participant.find("RoleIDCode").get("csd-code")
