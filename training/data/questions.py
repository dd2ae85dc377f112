"""Questions on images, in the columns of M3D-VQA's CSV files."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dicom_io.errors import UnusableData
from training.data.splits import Part

TYPES = {1: "plane", 2: "phase", 3: "organ", 4: "abnormality", 5: "location"}
PLANE, PHASE, ORGAN, ABNORMALITY, LOCATION = TYPES
LETTERS = "ABCD"
_COLUMNS = (
    "Image Path",
    "Text",
    "Question Type",
    "Question",
    *(f"Choice {letter}" for letter in LETTERS),
    "Answer",
    "Answer Choice",
)
FILE_PARTS: dict[Part, str] = {"train": "train", "validation": "val", "test": "test"}
"""What the names of the files call the parts of the official split."""

WHICH_PLANE = "Which plane is this CT image in?"
WHICH_PHASE = "Which contrast phase is shown?"
ABSENT = "NA"
"""Stands for the choices that questions for yes or no do not have, as in M3D."""

ORGAN_OF = {
    "cardiomegaly": "heart",
    "hepatic steatosis": "liver",
    "splenomegaly": "spleen",
    "hydronephrosis": "kidney",
    "renal cyst": "kidney",
    "gallstones": "gallbladder",
    "pulmonary nodule": "lung",
    "aortic aneurysm": "aorta",
    "liver lesion": "liver",
}
"""By definition of the finding."""

_COUNTABLE = re.compile("effusion|cyst|nodule|aneurysm|lesion|pneumothorax|stone$")


@dataclass(frozen=True)
class Question:
    """One question.

    Parameters
    ----------
    image : str
        Key of the image; in a raw file the path that M3D gives it.
    type : int
        1 plane, 2 phase, 3 organ, 4 abnormality, 5 location.
    question, answer : str
        The answer in words.
    choices : tuple of str
        Two to four, or none for a question that is only asked openly.
    answer_choice : str
        A to D, or nothing.
    source : str
        The file it comes from, without its ending, e.g. "M3D_VQA_train".
    """

    image: str
    type: int
    question: str
    answer: str
    choices: tuple[str, ...] = ()
    answer_choice: str = ""
    source: str = ""

    @property
    def part(self) -> str:
        """The part of the official split that its file belongs to; nothing where it has none."""
        found = re.search(r"_(train|val|test)", self.source)
        return next((part for part, name in FILE_PARTS.items() if found and name == found[1]), "")

    @property
    def yes_no(self) -> bool:
        return "_yn" in self.source


def closed(
    image: str,
    kind: int,
    question: str,
    answer: str,
    candidates: Sequence[str],
    rng: np.random.Generator,
    source: str = "",
) -> Question:
    """Put the choices, the answer among them, in a random order.

    Parameters
    ----------
    image : str
        Key of the image.
    kind : int
        M3D's number of the type.
    question, answer : str
        In words.
    candidates : sequence of str
        All choices, the answer among them.
    rng : Generator
        Puts them in order.
    source : str
        The file that it comes from.
    """
    choices = tuple(str(c) for c in rng.permutation(list(candidates)))
    letter = LETTERS[choices.index(answer)]
    return Question(image, kind, question, answer, choices, letter, source)


def presence(image: str, finding: str, there: bool, source: str = "") -> Question:
    """Ask for yes or no whether a finding is there.

    Parameters
    ----------
    image : str
        Key of the image.
    finding : str
        Its name.
    there : bool
        Whether the image shows it.
    source : str
        The file that it comes from.
    """
    article = ("an " if finding[0] in "aeiou" else "a ") if _COUNTABLE.search(finding) else ""
    answer, letter = ("Yes", "A") if there else ("No", "B")
    choices = ("Yes", "No", ABSENT, ABSENT)
    question = f"Is there {article}{finding}?"
    return Question(image, ABNORMALITY, question, answer, choices, letter, source)


def read_questions(path: Path) -> Iterator[Question]:
    """Read a file of questions that is known to be sound.

    Raises
    ------
    UnusableData
        A row is not; the message names its line.
    """
    for line, row in read_rows(path):
        try:
            yield parse_row(row, path.stem)
        except UnusableData as error:
            raise UnusableData(f"{path.name}, line {line}: {error}") from error


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a CSV file with the line on which each ends.

    Raises
    ------
    UnusableData
        The file lacks a column that every question needs, or is not UTF-8.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        try:
            needed = {"Image Path", "Question Type", "Question", "Answer"}
            missing = needed - set(reader.fieldnames or ())
            if missing:
                raise UnusableData(f"{path.name} has no column {', '.join(sorted(missing))}")
            for row in reader:
                yield reader.line_num, {k: (v or "").strip() for k, v in row.items() if k}
        except (UnicodeDecodeError, csv.Error) as error:
            raise UnusableData(f"{path.name} is no CSV file in UTF-8: {error}") from error


def parse_row(row: dict[str, str], source: str) -> Question:
    """Make a question of a row.

    Raises
    ------
    UnusableData
        It cannot be asked or has no answer.
    """
    kind, letter = row["Question Type"], row.get("Answer Choice", "")
    choices = tuple(row.get(f"Choice {letter}", "") for letter in LETTERS)
    while choices and not choices[-1]:
        choices = choices[:-1]
    if not row["Image Path"] or not row["Question"] or not row["Answer"]:
        raise UnusableData("the image, the question or the answer is empty")
    if kind not in map(str, TYPES):
        raise UnusableData(f"question type {kind!r} is not 1 to 5")
    if letter not in ("", *LETTERS):
        raise UnusableData(f"answer choice {letter!r} is not A to D")
    if letter and not row.get(f"Choice {letter}"):
        raise UnusableData(f"choice {letter}, the answer, is empty")
    asked, answer = row["Question"], row["Answer"]
    if letter:
        said = _plain(row[f"Choice {letter}"])
        if said != _plain(answer):
            raise UnusableData(f"the answer is not what choice {letter} says")
        others = [c for other, c in zip(LETTERS, choices, strict=False) if other != letter]
        if said in map(_plain, others):
            raise UnusableData("another choice says the same as the answer")
    return Question(row["Image Path"], int(kind), asked, answer, choices, letter, source)


def oddities(question: Question) -> Iterator[str]:
    """Say what is odd about a question that can be asked all the same."""
    said = [_plain(choice) for choice in question.choices if choice != ABSENT]
    if len(set(said)) < len(said):
        yield "two wrong choices are equal"
    if "" in question.choices:
        yield "a choice in the middle is empty"


def _plain(text: str) -> str:
    """A choice without what two ways to write it differ in; a minus sign is none of these."""
    return " ".join(text.split()).casefold().rstrip(".")


def write_questions(path: Path, questions: Iterable[Question], texts: Iterable[str] = ()) -> None:
    """Write questions, and in column Text the reports that belong to them where they are given.

    Parameters
    ----------
    path : Path
        The CSV file.
    questions : iterable of Question
        What it is to hold.
    texts : iterable of str
        A report for each question.
    """
    texts = iter(texts)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for q in questions:
            choices = (*q.choices, *[""] * (len(LETTERS) - len(q.choices)))
            text = next(texts, "")
            writer.writerow(
                [q.image, text, q.type, q.question, *choices, q.answer, q.answer_choice]
            )
