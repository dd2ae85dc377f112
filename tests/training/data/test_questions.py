import pytest

from dicom_io.errors import UnusableData
from training.data.questions import Question, parse_row, read_questions, write_questions

CLOSED = Question("k", 3, "Which organ?", "liver", ("heart", "liver", "lung", "spleen"), "B")
ROW = {
    "Image Path": "k",
    "Question Type": "3",
    "Question": "Which organ?",
    "Choice A": "heart",
    "Choice B": "liver",
    "Choice C": "lung",
    "Choice D": "spleen",
    "Answer": "liver",
    "Answer Choice": "B",
}


def test_questions_survive_a_file_with_commas_quotes_and_line_breaks(tmp_path):
    asked = [CLOSED, Question("k", 5, 'Where, "exactly"?\nSay.', "left; ölig", (), "")]
    write_questions(tmp_path / "q.csv", asked, ["a report, in full"] * 2)
    read = list(read_questions(tmp_path / "q.csv"))
    assert [(q.question, q.answer, q.choices, q.answer_choice) for q in read] == [
        (q.question, q.answer, q.choices, q.answer_choice) for q in asked
    ]


@pytest.mark.parametrize(
    ("source", "part", "yes_no"),
    [
        ("M3D_VQA_train", "train", False),
        ("M3D_VQA_val", "validation", False),
        ("M3D_VQA_test5k", "test", False),
        ("M3D_VQA_yn_train", "train", True),
        ("other", "", False),
    ],
)
def test_a_files_name_says_its_part_and_kind(source, part, yes_no):
    question = parse_row(ROW, source)
    assert (question.part, question.yes_no) == (part, yes_no)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"Question": ""}, "empty"),
        ({"Answer": ""}, "empty"),
        ({"Image Path": ""}, "empty"),
        ({"Question Type": "6"}, "question type '6' is not 1 to 5"),
        ({"Answer Choice": "E"}, "answer choice 'E' is not A to D"),
        ({"Choice B": ""}, "choice B, the answer, is empty"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(change, why):
    with pytest.raises(UnusableData, match=why):
        parse_row(ROW | change, "M3D_VQA_test")


def test_a_file_without_a_needed_column_is_refused(tmp_path):
    (tmp_path / "q.csv").write_text("Image Path,Question\nk,q\n")
    with pytest.raises(UnusableData, match="no column Answer, Question Type"):
        list(read_questions(tmp_path / "q.csv"))


def test_a_file_in_another_encoding_is_refused(tmp_path):
    text = "Image Path,Question Type,Question,Answer\nk,1,q,Ödem\n"
    (tmp_path / "q.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(UnusableData, match="UTF-8"):
        list(read_questions(tmp_path / "q.csv"))


def test_a_byte_order_mark_is_no_part_of_a_column(tmp_path):
    text = "Image Path,Question Type,Question,Answer\nk,1,q,a\n"
    (tmp_path / "q.csv").write_text(text, encoding="utf-8-sig")
    assert [q.image for q in read_questions(tmp_path / "q.csv")] == ["k"]


def test_the_line_of_a_bad_row_is_named(tmp_path):
    write_questions(tmp_path / "q.csv", [CLOSED, Question("k", 1, "", "a")])
    with pytest.raises(UnusableData, match="line 3"):
        list(read_questions(tmp_path / "q.csv"))
