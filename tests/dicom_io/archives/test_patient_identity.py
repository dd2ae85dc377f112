from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from dicom_io.archives.patient_identity import Found, Identity, Verdict, identity_of, judge

STUDY = "1.2.3"
EXPECTED = Identity(STUDY, "17", "Müller^Zoë")


def header(patient_id: str | None = "17", name: str | None = "Müller^Zoë") -> Dataset:
    dataset = Dataset()
    dataset.StudyInstanceUID = STUDY
    if patient_id is not None:
        dataset.PatientID = patient_id
    if name is not None:
        dataset.PatientName = name
    return dataset


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


def test_padding_and_empty_name_components_do_not_matter() -> None:
    assert identity_of(header(" 17 ", "Müller^Zoë^^^ ==")) == EXPECTED


def test_absent_and_empty_attributes_are_the_same_identity() -> None:
    assert identity_of(header(None, None)) == identity_of(header("", ""))


def test_an_identity_does_not_show_the_patient() -> None:
    shown = repr(Found(1, frozenset({EXPECTED})))
    assert STUDY in shown
    assert "17" not in shown
    assert "Müller" not in shown


@given(st.text(st.characters(categories=("L", "Nd")), min_size=1, max_size=20), st.integers(0, 4))
def test_trailing_carets_never_change_a_name(name: str, carets: int) -> None:
    assert identity_of(header(name=name + "^" * carets)) == identity_of(header(name=name))
