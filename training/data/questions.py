"""Questions on images, in the columns of M3D-VQA's CSV files."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dicom_io.errors import UnusableData

TYPES = {1: "plane", 2: "phase", 3: "organ", 4: "abnormality", 5: "location"}
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
_PARTS = {"train": "train", "val": "validation", "test": "test"}


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
        return _PARTS[found[1]] if found else ""

    @property
    def yes_no(self) -> bool:
        return "_yn" in self.source


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
    return Question(
        row["Image Path"],
        int(kind),
        row["Question"],
        row["Answer"],
        choices,
        letter,
        source,
    )


def write_questions(path: Path, questions: Iterable[Question], texts: Iterable[str] = ()) -> None:
    """Write questions, and in column Text the reports that belong to them where they are given."""
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
