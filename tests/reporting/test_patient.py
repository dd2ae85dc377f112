import warnings
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from dicom_io.errors import DicomError, UnreadableText
from reporting.forms.source import written_at
from reporting.objects.sr import build_sr
from reporting.patient import IDENTITY, disagreements, now_at, require_one_patient
from tests.reporting.studies import ct_header, draft_of, reread
from tests.reporting.validators import dciodvfy

TYPE_2 = ["PatientID", "PatientName", "PatientSex", "PatientBirthDate", "StudyDate", "StudyTime"]
TYPE_2 += ["StudyID", "AccessionNumber", "ReferringPhysicianName"]


def raw(header, keyword, vr, value):
    tag = Tag(keyword)
    header[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)


def test_patient_and_study_are_those_of_the_ct(tmp_path):
    header = ct_header(PatientAge="074Y", IssuerOfPatientID="KH")
    header.StudyDescription = "Thorax"
    read = reread(build_sr(draft_of(), [header]), tmp_path)
    for keyword in IDENTITY:
        assert read.get(keyword, "") == header.get(keyword, ""), keyword
    assert read.StudyInstanceUID == header.StudyInstanceUID
    assert dciodvfy(tmp_path / "report.dcm") == []


@pytest.mark.parametrize("keyword", TYPE_2)
def test_what_the_ct_lacks_stays_empty(keyword, tmp_path):
    read = reread(build_sr(draft_of(), [ct_header(**{keyword: None})]), tmp_path)
    assert keyword in read
    assert not read.get(keyword)


def test_an_unknown_sex_is_kept(tmp_path):
    header = ct_header()
    raw(header, "PatientSex", "CS", b"U ")
    assert reread(build_sr(draft_of(), [header]), tmp_path).PatientSex == "U"


def test_odd_values_are_kept_and_never_told_in_a_warning(tmp_path):
    header = ct_header()
    raw(header, "PatientBirthDate", "DA", b"about 1950")
    raw(header, "StudyTime", "TM", b"noon")
    raw(header, "PatientID", "LO", b"x" * 80)
    raw(header, "PatientAge", "AS", b"0Y")
    raw(header, "ReferringPhysicianName", "PN", b"^" * 9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_sr(draft_of(), [header]).save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = dcmread(tmp_path / "a.dcm")
        assert read.PatientBirthDate == "about 1950"
        assert read.StudyTime == "noon"
        assert read.PatientID == "x" * 80
        assert "PatientAge" not in read


def test_optional_text_with_control_characters_is_left_out():
    read = build_sr(draft_of(), [ct_header(StudyDescription="Tho\nrax", PatientAge="074Y")])
    assert "StudyDescription" not in read
    assert read.PatientAge == "074Y"


def test_a_japanese_name_arrives_in_unicode(tmp_path):
    name = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    header = ct_header(SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName=name)
    header.save_as(tmp_path / "ct.dcm", enforce_file_format=True)
    read = reread(build_sr(draft_of(), [dcmread(tmp_path / "ct.dcm")]), tmp_path)
    assert str(read.PatientName) == name
    assert read.PatientName.ideographic == "山田^太郎"
    assert name.encode() in (tmp_path / "report.dcm").read_bytes()
    assert dciodvfy(tmp_path / "report.dcm") == []


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Jürgen"),
        ("ISO_IR 144", "Люкceмбypг"),
        ("ISO_IR 126", "Διονυσιος"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
    ],
)
def test_names_of_other_character_sets_arrive_in_unicode(charset, name, tmp_path):
    header = ct_header(SpecificCharacterSet=charset, PatientName=name, StudyDescription=name)
    header.save_as(tmp_path / "ct.dcm", enforce_file_format=True)
    read = reread(build_sr(draft_of(), [dcmread(tmp_path / "ct.dcm")]), tmp_path)
    assert str(read.PatientName) == name
    assert read.StudyDescription == name


def test_several_values_stay_several(tmp_path):
    header = ct_header()
    raw(header, "PatientName", "PN", b"A^B\\C^D")
    raw(header, "AccessionNumber", "SH", b"1\\2 ")
    read = reread(build_sr(draft_of(), [header]), tmp_path)
    assert [str(name) for name in read.PatientName] == ["A^B", "C^D"]
    assert list(read.AccessionNumber) == ["1", "2"]


def test_private_tags_and_empty_referrers_do_no_harm(tmp_path):
    header = ct_header(ReferringPhysicianName="")
    header.private_block(0x0009, "MAKER", create=True).add_new(1, "LO", "secret")
    read = reread(build_sr(draft_of(), [header]), tmp_path)
    assert not [element for element in read if element.tag.is_private]
    assert dciodvfy(tmp_path / "report.dcm") == []


def test_the_time_zone_is_told_only_if_the_ct_tells_it():
    assert "TimezoneOffsetFromUTC" not in build_sr(draft_of(), [ct_header()])
    header = ct_header(TimezoneOffsetFromUTC="+0930")
    assert build_sr(draft_of(), [header]).TimezoneOffsetFromUTC == "+0930"
    assert now_at(header).utcoffset() == timedelta(hours=9, minutes=30)


@pytest.mark.parametrize(
    "offset", ["", "Z", "+99", "+2500", "0100", "+01:00", "+1401", "+0160", "+01\\+02", "+٠١٠٠"]
)
def test_a_time_zone_that_is_none_is_ignored(offset):
    header = ct_header(SpecificCharacterSet="ISO_IR 192")
    raw(header, "TimezoneOffsetFromUTC", "SH", offset.encode())
    assert now_at(header).tzinfo is not None
    sr = build_sr(draft_of(), [header])
    assert "TimezoneOffsetFromUTC" not in sr
    sr.TimezoneOffsetFromUTC = "Z"  # of a report of another version
    assert written_at(sr).tzinfo is None


@pytest.mark.parametrize("offset", ["+1400", "-1200", "-0330"])
def test_a_time_zone_of_the_earth_is_kept(offset):
    sr = build_sr(draft_of(), [ct_header(TimezoneOffsetFromUTC=offset)])
    assert f"{written_at(sr):%z}" == offset


@pytest.mark.parametrize(
    ("keyword", "vr", "value", "why"),
    [
        ("PatientID", "LO", b"4711\\4712", "PatientID holds several values"),
        ("PatientID", "LO", b"x" * 322, "PatientID is longer than 320 characters"),
        ("PatientName", "PN", b"x" * 322, "PatientName is longer"),
        ("PatientName", "PN", "\U00020000".encode() * 260, "PatientName is longer"),
    ],
)
def test_what_nobody_is_filed_by_is_no_identity(keyword, vr, value, why):
    header = ct_header(SpecificCharacterSet="ISO_IR 192")
    raw(header, keyword, vr, value)
    with pytest.raises(UnreadableText, match=why) as refused:
        require_one_patient([header])
    assert "4712" not in str(refused.value)
    assert "xx" not in str(refused.value)


def test_identity_removed_without_a_method_makes_no_invalid_report(tmp_path):
    header = ct_header(PatientIdentityRemoved="YES", DeidentificationMethod="")
    reread(build_sr(draft_of(), [header]), tmp_path)
    assert dciodvfy(tmp_path / "report.dcm") == []


EXCLUDED = ["Cs", "Cc", "Cn", "Zl", "Zp"]
REORDERING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
IDS = st.text(
    st.characters(exclude_characters="\\" + REORDERING, exclude_categories=EXCLUDED), max_size=60
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(patient_id=IDS, family=IDS, sex=st.sampled_from(["", "M", "F", "O", "U", "W"]))
def test_any_identity_is_carried(tmp_path, patient_id, family, sex):
    header = ct_header(SpecificCharacterSet="ISO_IR 192")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # hypothesis finds identities that pydicom warns of
        header.PatientID, header.PatientName, header.PatientSex = patient_id, family, sex
        header.save_as(tmp_path / "ct.dcm", enforce_file_format=True)
        source = dcmread(tmp_path / "ct.dcm")
        read = reread(build_sr(draft_of(), [source]), tmp_path)
        for keyword in ("PatientID", "PatientName", "PatientSex"):
            assert read.get(keyword) == source.get(keyword)


def test_one_patient_is_one_patient_whatever_the_padding():
    require_one_patient([ct_header(PatientID="4711 "), ct_header(PatientID="4711")])


def test_a_corrected_name_under_one_id_is_one_patient():
    require_one_patient([ct_header(PatientName="Doe^Jane"), ct_header(PatientName="Roe^Jane")])


@pytest.mark.parametrize(
    "other",
    [
        {"PatientID": "4712"},
        {"PatientID": ""},
        {"PatientID": None},
    ],
)
def test_another_id_or_none_is_another_patient(other):
    with pytest.raises(DicomError, match="different patients"):
        require_one_patient([ct_header(), ct_header(2, **other)])


def test_without_ids_the_names_decide():
    nameless = {"PatientID": ""}
    require_one_patient([ct_header(**nameless), ct_header(PatientName="DOE^JANE", **nameless)])
    with pytest.raises(DicomError, match="different patients") as raised:
        require_one_patient([ct_header(**nameless), ct_header(PatientName="Roe^Jim", **nameless)])
    assert "Roe" not in str(raised.value)


def test_no_control_character_of_a_name_reaches_a_report():
    header = ct_header()
    raw(header, "PatientID", "LO", b"4711\x1b[31m")
    with pytest.raises(UnreadableText, match="PatientID holds control or escape characters"):
        build_sr(draft_of(), [header])
    with pytest.raises(UnreadableText, match="PatientID"):
        require_one_patient([ct_header(2), header])


def test_a_referrer_that_cannot_be_read_is_left_empty_and_costs_no_draft():
    header = ct_header(SpecificCharacterSet="ISO_IR 192")
    raw(header, "ReferringPhysicianName", "PN", b"M\xfcller")
    require_one_patient([header])
    assert build_sr(draft_of(), [header]).ReferringPhysicianName == ""


@pytest.mark.parametrize(
    ("charset", "name", "read"),
    [
        ("\\ISO 2022 IR 58", b"Zhang=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1", "Zhang=张^小"),
        ("", "Müller^Jürgen".encode(), "Müller^Jürgen"),
    ],
)
def test_a_name_is_repaired_where_the_standard_says_how(charset, name, read, tmp_path):
    header = ct_header(SpecificCharacterSet=charset.split("\\"))
    raw(header, "PatientName", "PN", name)
    require_one_patient([header])
    report = reread(build_sr(draft_of(), [header]), tmp_path)
    assert str(report.PatientName) == read
    assert dciodvfy(tmp_path / "report.dcm") == []


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"AccessionNumber": "A2"}, "accession numbers"),
        ({"IssuerOfPatientID": "KH-2"}, "issuers of the PatientID"),
        ({"PatientBirthDate": "19700102"}, "birth dates"),
        ({"PatientName": "Roe^Jim"}, "names of the patient"),
    ],
)
def test_what_images_of_one_patient_do_not_agree_on_is_said_without_the_values(other, said):
    known = {"IssuerOfPatientID": "KH-1", "PatientBirthDate": "19700101", "PatientName": "Doe^Jane"}
    (sentence,) = disagreements([ct_header(**known), ct_header(2, **(known | other))])
    assert sentence == f"The images name 2 {said}; the report has that of those read."


@pytest.mark.parametrize(
    "other",
    [
        {"AccessionNumber": ""},
        {"IssuerOfPatientID": ""},
        {"PatientName": "DOE^JANE^^"},
        {"PatientName": ""},
    ],
)
def test_what_is_absent_or_spelt_otherwise_disagrees_with_nothing(other):
    known = {"IssuerOfPatientID": "KH-1", "PatientName": "Doe^Jane"}
    assert disagreements([ct_header(**known), ct_header(2, **(known | other))]) == ()
