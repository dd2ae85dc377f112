import pytest

from dicom_io.archives.patients.identity import Identity
from dicom_io.archives.proving.proof import Found, Verdict, judge

STUDY = "1.2.3"
EXPECTED = Identity(STUDY, "17", "Müller^Zoë")


def test_the_same_patient_and_study_is_proof() -> None:
    assert judge(Found(1, frozenset({EXPECTED})), EXPECTED) is Verdict.PROVED


def test_nothing_found_is_missing_whatever_the_study_says() -> None:
    assert judge(Found(0, frozenset({EXPECTED})), EXPECTED) is Verdict.MISSING


@pytest.mark.parametrize(
    ("patient_id", "name", "verdict"),
    [
        ("17", "MULLER^ZOE", Verdict.PROVED),
        ("17", "M??ller^Zo?=ミュラー", Verdict.PROVED),
        ("17", "", Verdict.PROVED),
        ("17", "Huber^Eva", Verdict.RENAMED),
        ("HOSP-17", "Müller^Zoë", Verdict.OTHER_ID),
        ("18", "", Verdict.OTHER_ID),
        ("", "Müller Zoë", Verdict.OTHER_ID),
        ("18", "Huber^Eva", Verdict.OTHER_PATIENT),
        ("", "Huber^Eva", Verdict.OTHER_PATIENT),
    ],
)
def test_patient_id_and_study_decide_and_else_the_folded_name(
    patient_id: str, name: str, verdict: Verdict
) -> None:
    found = Found(1, frozenset({Identity(STUDY, patient_id, name)}))
    assert judge(found, EXPECTED) is verdict


def test_an_empty_patient_id_leaves_it_to_the_name() -> None:
    nobody = Identity(STUDY, "", "Müller^Zoë")
    other = Identity(STUDY, "", "Huber^Eva")
    assert judge(Found(1, frozenset({nobody})), nobody) is Verdict.PROVED
    assert judge(Found(1, frozenset({other})), nobody) is Verdict.OTHER_PATIENT


def test_another_study_is_another_patients() -> None:
    found = Found(1, frozenset({Identity("1.2.4", "17", "Müller^Zoë")}))
    assert judge(found, EXPECTED) is Verdict.OTHER_PATIENT


def test_two_patients_under_one_study_are_told() -> None:
    found = Found(1, frozenset({EXPECTED, Identity(STUDY, "18", "Huber^Eva")}))
    assert judge(found, EXPECTED) is Verdict.OTHER_PATIENT


def test_two_patient_ids_of_one_name_keep_the_report_from_its_ct() -> None:
    found = Found(1, frozenset({EXPECTED, Identity(STUDY, "HOSP-17", "Müller^Zoë")}))
    assert judge(found, EXPECTED) is Verdict.APART


def test_a_study_that_is_not_shown_yet_proves_nothing() -> None:
    assert judge(Found(1, frozenset()), EXPECTED) is Verdict.MISSING


def test_an_identity_does_not_show_the_patient() -> None:
    shown = repr(Found(1, frozenset({EXPECTED})))
    assert STUDY in shown
    assert "17" not in shown
    assert "Müller" not in shown
