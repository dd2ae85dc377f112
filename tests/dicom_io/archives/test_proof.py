from dicom_io.archives.patient_identity import Identity
from dicom_io.archives.proof import Found, Verdict, judge

STUDY = "1.2.3"
EXPECTED = Identity(STUDY, "17", "Müller^Zoë")


def test_the_same_patient_and_study_is_proof() -> None:
    assert judge(Found(1, frozenset({EXPECTED})), EXPECTED) is Verdict.PROVED


def test_nothing_found_is_missing_whatever_the_study_says() -> None:
    assert judge(Found(0, frozenset({EXPECTED})), EXPECTED) is Verdict.MISSING


def test_another_patient_id_is_a_wrong_identity() -> None:
    found = Found(1, frozenset({Identity(STUDY, "18", "Müller^Zoë")}))
    assert judge(found, EXPECTED) is Verdict.WRONG_IDENTITY


def test_two_patients_under_one_study_are_a_wrong_identity() -> None:
    found = Found(1, frozenset({EXPECTED, Identity(STUDY, "18", "Müller^Zoë")}))
    assert judge(found, EXPECTED) is Verdict.WRONG_IDENTITY


def test_a_destination_that_names_no_patient_proves_nothing() -> None:
    assert judge(Found(1, frozenset()), EXPECTED) is Verdict.WRONG_IDENTITY


def test_an_identity_does_not_show_the_patient() -> None:
    shown = repr(Found(1, frozenset({EXPECTED})))
    assert STUDY in shown
    assert "17" not in shown
    assert "Müller" not in shown
