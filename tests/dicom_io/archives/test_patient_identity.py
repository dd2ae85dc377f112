from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from dicom_io.archives.patient_identity import Identity, identity_of

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


def test_padding_and_empty_name_components_do_not_matter() -> None:
    assert identity_of(header(" 17 ", "Müller^Zoë^^^ ==")) == EXPECTED


def test_absent_and_empty_attributes_are_the_same_identity() -> None:
    assert identity_of(header(None, None)) == identity_of(header("", ""))


@given(st.text(st.characters(categories=("L", "Nd")), min_size=1, max_size=20), st.integers(0, 4))
def test_trailing_carets_never_change_a_name(name: str, carets: int) -> None:
    assert identity_of(header(name=name + "^" * carets)) == identity_of(header(name=name))
