import json

import pytest
from click.testing import CliRunner

from dicom_io.errors import UnusableData
from plugin.cli import main
from tests.training.site.store import KEY, text_key, write_store
from training.data.shards import write_atomically
from training.site.deidentify.known import KnownValues
from training.site.verify import faults

CLEAN = [f"[NAME] was seen on [DATE]. Nodule of {n} mm." for n in range(6)]
KNOWN = KnownValues(
    names=("Zyxwvut^Anna", "Ökzdemir^Jürgen", "山田^太郎"),
    numbers=("00471199",),
    dates=("20210312",),
    places=("Marienstift Musterstadt",),
)


@pytest.fixture
def out(tmp_path):
    return write_store(tmp_path / "out", CLEAN)


@pytest.fixture
def work(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    KNOWN.save(folder, KEY.study("0"))
    for n in range(1, len(CLEAN)):
        KnownValues().save(folder, KEY.study(str(n)))
    return folder


def test_a_clean_data_set_is_sound(out, work):
    assert list(faults(out, work)) == []


def test_the_command_prints_what_is_wrong_and_exits_1(tmp_path, out):
    (out / "Zyxwvut.txt").write_text("")
    result = CliRunner().invoke(main, ["prepare", "verify", str(out)])
    assert result.exit_code == 1
    assert result.output == "1 file that is no part of a data set\n1 fault\n"


def test_the_command_takes_a_working_folder(out, work):
    result = CliRunner().invoke(main, ["prepare", "verify", str(out), "--work", str(work)])
    assert (result.exit_code, result.output) == (0, "sound\n")


@pytest.mark.parametrize(
    "text",
    [
        "Seen by Dr. Quixote.",
        "On 12.03.2021.",
        "Call 555-123-4567.",
        "MRN: 4711",
        "a.b@hospital.org",
        "1.2.840.113619.2.55.3.6",
        "Electronically signed by Quixote",
    ],
)
def test_what_has_the_form_of_an_identifier_is_a_fault(tmp_path, text):
    out = write_store(tmp_path / "out", [*CLEAN, text])
    assert list(faults(out)) == [
        f"text {text_key(6)}: something in it has the form of an identifier"
    ]


def test_what_a_person_kept_is_no_fault(tmp_path):
    kept = {text_key(6): ["Quixote"]}
    out = write_store(tmp_path / "out", [*CLEAN, "Dr. Quixote"], facts={"kept": kept})
    assert list(faults(out)) == []


def test_a_word_that_was_kept_frees_no_other_word_that_holds_it(tmp_path):
    kept = {text_key(6): ["Quix"]}
    out = write_store(tmp_path / "out", [*CLEAN, "Dr. Quixote"], facts={"kept": kept})
    assert len(list(faults(out))) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("manufacturer", "Zyxwvut"),
        ("model", "Zyxwvut 64"),
        ("kernel", "Zyxwvut"),
        ("sex", "Zyxwvut"),
        ("study_date", "12.03.2021"),
        ("station", "CT1"),
        ("series", "1.2.3"),
    ],
)
def test_an_origin_that_tells_more_is_a_fault(tmp_path, name, value):
    out = write_store(tmp_path / "out", CLEAN, origin={name: value})
    found = list(faults(out))
    assert len(found) == len(CLEAN)
    assert "1 entry is in its origin" in found[0]
    assert "Zyxwvut" not in "".join(found)


def test_a_note_with_a_date_is_a_fault(tmp_path):
    found = list(faults(write_store(tmp_path / "out", CLEAN, notes=("seen 12.03.2021",))))
    assert found[0].endswith("a note may identify")


@pytest.mark.parametrize(
    "text",
    [
        "zyxwvut",
        "ZYXWVUT",
        "anna",
        "Oekzdemir",
        "Okzdemir",
        "太郎",
        "Nr 471199",
        "47 11 99",
        "Marienstift",
        "2021",
    ],
)
def test_a_value_of_the_studys_own_headers_is_a_fault(tmp_path, work, text):
    out = write_store(tmp_path / "out", [f"{text}: no nodule.", *CLEAN[1:]])
    assert f"text {text_key(0)}: a value of its headers is left in it" in list(faults(out, work))


@pytest.mark.parametrize("value", ["Anna Zyxwvut", "zyxwvut, anna", "00471199", "4711 99"])
def test_a_value_of_one_study_in_the_text_of_another_is_a_fault(tmp_path, work, value):
    value = value.replace("4711 99", "0047 1199")
    out = write_store(tmp_path / "out", [*CLEAN[:5], f"like {value}"])
    expected = f"texts.jsonl: a value that identifies study {KEY.study('0')}"
    assert expected in list(faults(out, work))


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("value", ["Jürgen Ökzdemir", "ÖKZDEMIR JÜRGEN", "00471199"])
def test_a_value_in_the_pixels_is_a_fault_in_any_encoding(tmp_path, work, encoding, value):
    out = write_store(tmp_path / "out", CLEAN)
    path = out / "images" / "00000.safetensors"
    path.write_bytes(path.read_bytes()[:-60] + value.encode(encoding).ljust(60, b"\0"))
    expected = f"images/00000.safetensors: a value that identifies study {KEY.study('0')}"
    assert expected in list(faults(out, work))


def test_a_value_in_escaped_json_is_a_fault(out, work):
    write_atomically(out / "report.json", json.dumps({"x": ["Ökzdemir^Jürgen"]}))
    assert f"report.json: a value that identifies study {KEY.study('0')}" in list(faults(out, work))


def test_a_value_in_a_file_name_is_a_fault_that_does_not_repeat_it(out, work):
    (out / "images" / "Anna Zyxwvut").write_text("")
    assert list(faults(out, work)) == [
        "images/: 1 file that is no part of a data set",
        f"a file: a value that identifies study {KEY.study('0')}",
    ]


def test_a_patient_in_two_parts_is_a_fault(out):
    splits = json.loads((out / "splits.json").read_text())
    splits["grouped"]["test"] = splits["grouped"]["train"][:1]
    write_atomically(out / "splits.json", json.dumps(splits))
    assert any("is in train and in test" in fault for fault in faults(out))


def test_a_folder_that_knows_nothing_is_refused(out, tmp_path):
    with pytest.raises(UnusableData, match="no working folder"):
        list(faults(out, tmp_path))
