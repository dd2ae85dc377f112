import json
import pickle
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from dicom_io.errors import UnusableData
from dicom_io.model_input.preprocess import PreprocessSpec
from tests.training.data.conftest import write_case, write_series
from training.data.m3d import (
    extract_findings,
    key_of,
    make_input,
    plain_name,
    read_official_questions,
    read_raw,
    read_slices,
)
from training.data.questions import Question, write_questions
from training.data.shards import Planned

SPEC = PreprocessSpec(size=(6, 8, 8))


@pytest.fixture
def raw(tmp_path) -> Path:
    write_case(tmp_path / "M3D_Cap" / "ct_case" / "000001", "Axial_one", "Coronal_two")
    write_case(tmp_path / "M3D_Cap" / "ct_quizze" / "000002", "Axial_three")
    return tmp_path


def reasons(raw: Path) -> dict[str, str]:
    return {rejected.what: rejected.why for rejected in read_raw(raw).rejected}


def why_not(folder: Path) -> str:
    with pytest.raises(UnusableData) as raised:
        make_input(SPEC, Planned("key", "case", "text", str(folder)))
    return str(raised.value)


def test_every_series_of_every_case_is_found(raw):
    assert [image.key for image in read_raw(raw).planned] == [
        "ct_case/000001/Axial_one",
        "ct_case/000001/Coronal_two",
        "ct_quizze/000002/Axial_three",
    ]


def test_cases_may_lie_in_the_parts_of_an_archive(tmp_path):
    write_case(tmp_path / "ct_case_00" / "000001", "Axial")
    write_case(tmp_path / "ct_case_01" / "000002", "Axial")
    assert {image.case for image in read_raw(tmp_path).planned} == {
        "ct_case/000001",
        "ct_case/000002",
    }


def test_a_case_that_is_there_twice_is_taken_once_and_reported(raw):
    write_case(raw / "examples" / "ct_case" / "000001", "Axial_other")
    assert [image.key for image in read_raw(raw).planned if "ct_case" in image.key] == [
        "ct_case/000001/Axial_one",
        "ct_case/000001/Coronal_two",
    ]
    assert "examples/ct_case has it too" in reasons(raw)["ct_case/000001"]


def test_two_official_splits_or_question_files_are_not_chosen_from(raw):
    for folder in (raw, raw / "M3D_Cap"):
        (folder / "M3D_Cap.json").write_text("{}")
        write_questions(folder / "M3D_VQA_test.csv", [])
    with pytest.raises(UnusableData, match=r"2 files M3D_Cap\.json"):
        read_raw(raw)
    with pytest.raises(UnusableData, match=r"several files M3D_VQA_test\.csv"):
        read_official_questions(raw, [])


def test_a_folder_without_cases_is_refused(tmp_path):
    with pytest.raises(UnusableData, match="no case of M3D"):
        read_raw(tmp_path)


@pytest.mark.parametrize(
    ("text", "findings"),
    [
        ("title: x\nstudy_findings: Two\nlines.", "Two lines."),
        ("discussion: Much\nto say.\nstudy_findings: \n", "Much to say. study_findings:"),
        ("Only this text.", "Only this text."),
        ("title: a title\nstudy_findings: -", "title: a title study_findings: -"),
    ],
    ids=["findings", "discussion", "all", "all, for want of more"],
)
def test_the_report_is_findings_else_discussion_else_all(text, findings):
    assert extract_findings(text) == findings


def test_a_case_without_a_report_is_rejected_with_its_series(raw):
    (raw / "M3D_Cap" / "ct_case" / "000001" / "text.txt").unlink()
    assert [image.case for image in read_raw(raw).planned] == ["ct_quizze/000002"]
    assert reasons(raw) == {"ct_case/000001": "it has 0 text files, and none of them is text.txt"}


def test_an_empty_report_is_rejected(raw):
    (raw / "M3D_Cap" / "ct_case" / "000001" / "text.txt").write_text(" \n")
    assert reasons(raw) == {"ct_case/000001": "text.txt has no report"}


def test_a_report_in_another_encoding_is_rejected(raw):
    (raw / "M3D_Cap" / "ct_case" / "000001" / "text.txt").write_bytes("Ödem".encode("latin-1"))
    assert reasons(raw) == {"ct_case/000001": "text.txt is not UTF-8"}


def test_names_lose_their_diacritics_as_in_the_lists_of_m3d():
    assert plain_name("Pöschl_é") == "Poschl_e"
    assert key_of("M3D_Cap_npy/ct_case/000001/Pöschl.nii.gz") == "ct_case/000001/Poschl"


def test_two_series_with_one_plain_name_are_not_mixed_up(raw):
    case = raw / "M3D_Cap" / "ct_case" / "000001"
    write_series(case / "Axial_öne")
    assert reasons(raw) == {
        "ct_case/000001/Axial_one": "another series of the case has the same plain name"
    }


def test_images_that_are_listed_and_not_there_are_named(raw):
    listed = [{"image": "M3D_Cap_npy/ct_case/000009/A.npy", "text": "t"}]
    (raw / "M3D_Cap.json").write_text(json.dumps({"train": listed, "validation": [], "test": []}))
    assert reasons(raw) == {"ct_case/000009/A": "M3D_Cap.json lists it, and it is not there"}


@pytest.mark.parametrize("text", ["[", "[]", '{"train": []}'])
def test_a_list_that_is_no_split_is_refused(raw, text):
    (raw / "M3D_Cap.json").write_text(text)
    with pytest.raises(UnusableData, match=r"M3D_Cap\.json"):
        read_raw(raw)


def test_slices_come_in_the_order_of_their_numbers(tmp_path):
    folder = tmp_path / "series"
    folder.mkdir()
    for number in range(12):
        Image.fromarray(np.full((4, 4), number, np.uint8)).save(folder / f"{number}.png")
    slices, notes = read_slices(folder)
    assert slices[:, 0, 0].tolist() == list(range(12))
    assert notes == ()


def test_a_scout_view_among_the_slices_is_left_out_and_noted(tmp_path):
    write_series(tmp_path / "series")
    Image.new("L", (30, 20), 7).save(tmp_path / "series" / "4.png")
    slices, notes = read_slices(tmp_path / "series")
    assert slices.shape == (4, 12, 10)
    assert notes == ("4.png was left out: it is 20 × 30, not 12 × 10",)


def test_a_gap_in_the_numbers_is_noted(tmp_path):
    write_series(tmp_path / "series", slices=5)
    (tmp_path / "series" / "2.png").unlink()
    _, notes = read_slices(tmp_path / "series")
    assert notes == ("numbers missing between the first slice and the last: 1",)


def damage(folder: Path, how: str) -> None:
    path = folder / "1.png"
    if how == "cut":
        path.write_bytes(path.read_bytes()[:80])
    elif how == "text":
        path.write_text("not a picture")
    elif how == "sixteen bits":
        Image.fromarray(np.full((12, 10), 9000, np.uint16)).save(path)
    elif how == "no number":
        path.rename(folder / "scout.png")
    elif how == "twice":
        Image.new("L", (10, 12)).save(folder / "1.jpeg")
    elif how == "other sizes":
        for number in range(4):
            Image.new("L", (number + 3, 5), 7).save(folder / f"{number}.png")
    elif how == "blank":
        for number in range(4):
            Image.new("L", (10, 12), 7).save(folder / f"{number}.png")
    elif how == "empty":
        for file in folder.iterdir():
            file.unlink()


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("cut", "1.png cannot be read as a picture"),
        ("text", "1.png cannot be read as a picture"),
        ("sixteen bits", "1.png has more than 8 bits a pixel (I;16)"),
        ("no number", "scout.png has no number"),
        ("twice", "number 1 is there twice"),
        ("other sizes", "its slices have no common size"),
        ("blank", "every pixel has the same value"),
        ("empty", "it has no slices"),
    ],
)
def test_a_damaged_series_is_rejected_with_the_reason(tmp_path, how, why):
    write_series(tmp_path / "series")
    damage(tmp_path / "series", how)
    assert why_not(tmp_path / "series") == why


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".png", ".jpeg"])
def test_an_input_is_what_m3ds_own_preparation_makes(tmp_path, ending):
    from monai.transforms import Compose, CropForeground, Resize, ScaleIntensity

    write_series(tmp_path / "series", slices=7, shape=(20, 17), ending=ending)
    slices, _ = read_slices(tmp_path / "series")
    theirs = Compose([ScaleIntensity(), CropForeground(), Resize(SPEC.size, mode="trilinear")])
    expected = theirs(torch.from_numpy(slices[None] / np.float32(255)))
    made = make_input(SPEC, Planned("k", "c", "t", str(tmp_path / "series")))
    np.testing.assert_allclose(made.pixels, expected.numpy(), atol=1e-5)
    assert made.affine_lps is None


def test_left_stays_left(tmp_path):
    """Nothing is flipped or turned: the bright corner of the pictures is that of the input."""
    folder = tmp_path / "series"
    folder.mkdir()
    for number in range(6):
        pixels = np.full((8, 8), 20, np.uint8)
        pixels[:3, :3] = 250 if number < 2 else 20
        pixels[7, 7] = 40 if number == 5 else pixels[7, 7]
        Image.fromarray(pixels).save(folder / f"{number}.png")
    pixels = make_input(SPEC, Planned("k", "c", "t", str(folder))).pixels[0]
    assert np.unravel_index(pixels.argmax(), pixels.shape) == (0, 0, 0)
    assert pixels[:, 4:].max() < 0.2
    assert pixels[..., 4:].max() < 0.2
    assert pixels[3:].max() < 0.2


def test_questions_on_images_that_are_not_stored_are_rejected_by_line(tmp_path):
    rows = [
        Question("M3D_Cap_npy/ct_case/000001/A.npy", 1, "Which plane?", "axial"),
        Question("M3D_Cap_npy/ct_case/000009/B.npy", 1, "Which plane?", "axial"),
    ]
    write_questions(tmp_path / "M3D_VQA_test.csv", rows)
    questions, rejected, _ = read_official_questions(tmp_path, ["ct_case/000001/A"])
    assert [(q.image, q.part) for q in questions] == [("ct_case/000001/A", "test")]
    assert [(r.what, r.why) for r in rejected] == [
        ("M3D_VQA_test.csv, line 3", "its image is not in the store")
    ]


def test_the_maker_can_be_sent_to_another_process(tmp_path):
    write_series(tmp_path / "series")
    image = Planned("k", "c", "t", str(tmp_path / "series"))
    make = partial(make_input, SPEC)
    sent = pickle.loads(pickle.dumps(make))
    assert np.array_equal(sent(image).pixels, make(image).pixels)


CHOICES = ("axial", "coronal", "sagittal", "oblique")


def asked(**changes: Any) -> Question:
    plane = Question("M3D_Cap_npy/ct_case/1/A.npy", 1, "Which plane?", "axial", CHOICES, "A")
    return replace(plane, **changes)


def read(folder: Path, *questions: Question) -> tuple[list[str], list[str]]:
    """Return reasons of rejections and notes."""
    write_questions(folder / "M3D_VQA_test.csv", questions)
    _, rejected, notes = read_official_questions(folder, ["ct_case/1/A"])
    return [one.why for one in rejected], [note for some in notes.values() for note in some]


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([asked(answer="coronal")], "the answer is not what choice A says"),
        ([asked(choices=("axial", "Axial", "c", "d"))], "another choice says the same"),
        ([asked(), asked()], "the same question stands on line 2"),
    ],
)
def test_a_question_that_cannot_be_right_is_refused(tmp_path, rows, why):
    rejected, _ = read(tmp_path, *rows)
    assert len(rejected) == 1
    assert why in rejected[0]


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        ([asked(choices=("axial", "b", "b", "d"))], "two wrong choices are equal"),
        ([asked(), asked(answer="coronal", answer_choice="B")], "line 2 asks the same"),
    ],
)
def test_an_odd_question_is_noted(tmp_path, rows, note):
    rejected, notes = read(tmp_path, *rows)
    assert rejected == []
    assert len(notes) == 1
    assert note in notes[0]


@pytest.mark.parametrize(
    "question",
    [
        asked(answer="Axial."),
        asked(choices=("Yes", "No", "NA", "NA"), answer="Yes"),
        asked(choices=("-5", "5", "+5", "5.0"), answer="-5"),
    ],
)
def test_a_sound_question_is_neither_refused_nor_noted(tmp_path, question):
    assert read(tmp_path, question) == ([], [])


def test_an_image_in_two_parts_stays_in_the_first(raw):
    key = "ct_case/000001/Axial_one"
    listed = {"train": [key, key], "validation": [], "test": [key]}
    pairs = {
        part: [{"image": f"M3D_Cap_npy/{key}.npy", "text": "t"} for key in keys]
        for part, keys in listed.items()
    }
    (raw / "M3D_Cap.json").write_text(json.dumps(pairs), encoding="utf-8-sig")
    found = read_raw(raw)
    assert found.split == {"train": [key], "validation": [], "test": []}
    whys = [one.why for one in found.rejected if "M3D_Cap.json" in one.why]
    assert "twice in train" in whys[0]
    assert "in train and in test: it is left in train" in whys[1]


def test_a_mark_of_byte_order_is_no_part_of_a_report(raw):
    path = raw / "M3D_Cap" / "ct_case" / "000001" / "text.txt"
    path.write_text("A cyst of the left kidney.", encoding="utf-8-sig")
    assert read_raw(raw).texts["ct_case/000001/text.txt"] == "A cyst of the left kidney."


def test_one_slice_is_no_volume(tmp_path):
    write_series(tmp_path / "A", slices=1)
    assert why_not(tmp_path / "A") == "one slice is no volume"


def test_pictures_are_turned_as_their_exif_says(tmp_path):
    write_series(tmp_path / "A")
    upright, _ = read_slices(tmp_path / "A")
    for path in sorted((tmp_path / "A").iterdir()):
        with Image.open(path) as image:
            exif = image.getexif()
            exif[ExifTags.Base.Orientation] = 6  # the first row is on the right
            turned = image.rotate(90, expand=True)
        turned.save(path, exif=exif)
    slices, notes = read_slices(tmp_path / "A")
    assert np.array_equal(slices, upright)
    assert notes == ("4 slices: turned as their EXIF orientation says",)


def test_what_is_fully_transparent_shows_nothing(tmp_path):
    write_series(tmp_path / "A")
    path = tmp_path / "A" / "1.png"
    with Image.open(path) as image:
        veiled = image.convert("RGBA")
    veiled.putalpha(0)
    veiled.save(path)
    assert why_not(tmp_path / "A") == "1.png is fully transparent: it shows nothing"
    veiled.putalpha(128)
    veiled.save(path)
    assert read_slices(tmp_path / "A")[1] == (
        "1 slice: partly transparent; the grey values below were taken",
    )
