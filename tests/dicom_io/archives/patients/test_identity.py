import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from dicom_io.archives.patients.identity import identities_of, identity_of, names_differ

STUDY = "1.2.3"


def header(patient_id: str | None = "17", name: str | None = "Müller^Zoë") -> Dataset:
    dataset = Dataset()
    dataset.StudyInstanceUID = STUDY
    if patient_id is not None:
        dataset.PatientID = patient_id
    if name is not None:
        dataset.PatientName = name
    return dataset


def test_padding_and_empty_name_components_do_not_matter() -> None:
    assert identity_of(header(" 17 ")).patient_id == "17"
    assert not names_differ("Müller^Zoë", "Müller^Zoë^^^ ==")


@pytest.mark.parametrize(
    "theirs",
    [
        "MÜLLER^ZOË",
        "Muller, Zoe",
        "M?ller^Zo?",
        "M??ller^Zo??",
        "M\N{REPLACEMENT CHARACTER}ller Zoë",
        "Müller^Zoë=山田^太郎=やまだ^たろう",
        "=山田^太郎",
        "??????^???",
        "",
    ],
)
def test_one_name_as_two_systems_keep_it(theirs: str) -> None:
    assert not names_differ("Müller^Zoë", theirs)
    assert not names_differ(theirs, "Müller^Zoë")


@pytest.mark.parametrize("theirs", ["Huber^Zoë", "Müller^Eva", "H?ber^Zo?", "Müller", "?^Eva"])
def test_another_name(theirs: str) -> None:
    assert names_differ("Müller^Zoë", theirs)


def test_what_is_said_of_another_study_is_no_answer() -> None:
    other = header("18")
    other.StudyInstanceUID = "1.2.4"
    assert identities_of([header(), other], STUDY) == identities_of([header()])


def test_absent_and_empty_attributes_are_the_same_identity() -> None:
    assert identity_of(header(None, None)) == identity_of(header("", ""))


@given(st.text(st.characters(categories=("L", "Nd")), min_size=1, max_size=20), st.integers(0, 4))
def test_trailing_carets_never_change_a_name(name: str, carets: int) -> None:
    assert not names_differ(name, name + "^" * carets)
