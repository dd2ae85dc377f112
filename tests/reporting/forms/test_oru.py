from datetime import datetime, timedelta, timezone

import hl7
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting.edition import Edition, Predecessor
from reporting.forms.oru import Names, control_id, oru_message
from reporting.objects.sr import build_sr
from tests.reporting.studies import ct_header, draft_of

BEFORE = Predecessor("1.2.3", "1.2.9", "1.2.9.1", 1)
NINE = datetime(2024, 5, 1, 9, 0, tzinfo=timezone(timedelta(hours=9)))


def report(edition=None, text=None, **attributes):
    header = ct_header(SpecificCharacterSet="ISO_IR 192", **attributes)
    draft = draft_of(text, edition=edition) if text else draft_of(edition=edition)
    return build_sr(draft, [header])


def parsed(sr, names=None):
    return hl7.parse(oru_message(sr, names))


def texts(message):
    return [str(obx[5]) for obx in message.segments("OBX")]


def test_a_first_draft_is_a_preliminary_result_and_says_what_it_is():
    message = parsed(report(Edition(written=NINE), TimezoneOffsetFromUTC="+0900"))
    assert str(message.segment("MSH")[9]) == "ORU^R01^ORU_R01"
    obr = message.segment("OBR")
    assert str(obr[25]) == "P"
    assert str(obr[22]) == "20240501090000+0900"
    assert texts(message)[1].startswith("AI DRAFT - NOT VERIFIED")
    assert {str(obx[11]) for obx in message.segments("OBX")} == {"P"}


def test_a_later_draft_is_a_correction_of_the_same_report():
    first, second = parsed(report()), parsed(report(Edition(2, predecessor=BEFORE)))
    assert str(second.segment("OBR")[25]) == "C"
    assert str(second.segment("OBR")[3]) == str(first.segment("OBR")[3])
    assert {str(obx[11]) for obx in second.segments("OBX")} == {"P"}


def test_patient_and_order_are_those_of_the_study():
    message = parsed(report(IssuerOfPatientID="KH", PatientName="Doe^Jane^B^Dr^MD"))
    pid, obr = message.segment("PID"), message.segment("OBR")
    assert str(pid[3]) == "4711^^^KH"
    assert str(pid[5]) == "Doe^Jane^B^MD^Dr"
    assert (str(pid[7]), str(pid[8])) == ("19500101", "F")
    assert str(obr[18]) == "A1"
    assert str(message.segments("OBX")[0][5]) == "1.2.3"


def test_without_an_accession_number_the_study_is_the_number():
    assert str(parsed(report(AccessionNumber="")).segment("OBR")[3]) == "1.2.3"


def test_a_draft_has_one_control_id_whenever_it_is_sent():
    sr = report()
    assert oru_message(sr) == oru_message(sr)
    assert len(control_id(sr)) == 20
    assert control_id(sr) != control_id(report())


def test_a_name_of_several_scripts_is_repeated():
    message = parsed(report(PatientName="Yamada^Tarou=山田^太郎"))
    assert str(message.segment("PID")[5]) == "Yamada^Tarou~山田^太郎"
    assert str(message.segment("MSH")[18]) == "UNICODE UTF-8"


def test_sender_and_receiver_are_named():
    msh = parsed(report(), Names("A", "B", "C", "D")).segment("MSH")
    assert [str(msh[n]) for n in range(3, 7)] == ["A", "B", "C", "D"]


def test_delimiters_in_a_text_do_not_break_the_message():
    message = parsed(report(text="Findings: A|B^C&D~E\\F is present. Impression: G."))
    shown = next(text for text in texts(message) if text.startswith("A\\F"))
    assert message.unescape(shown) == "A|B^C&D~E\\F is present."


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))
def test_no_name_adds_a_segment(name):
    sr = report()
    sr["PatientName"].value = name.replace("\\", "").replace("=", "")
    assert len(oru_message(sr).split("\r")) == len(oru_message(report()).split("\r"))


@pytest.mark.parametrize("sex", ["", "U", "W"])
def test_a_sex_that_hl7_does_not_know_is_unknown(sex):
    sr = report()
    sr.PatientSex = sex
    assert str(parsed(sr).segment("PID")[8]) == "U"
