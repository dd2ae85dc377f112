import re
from pathlib import Path

import pytest

from dicom_io.counted import counted

ROOMS = ("dicom_io", "engine", "plugin", "reporting")
# A number in front of a noun that stays in the plural where there is 1
FIXED = re.compile(r"(?<!of )\{[^{}]+\} (drafts|studies|instances|images|files|entries|alarms)\b")
# The number before it is never 1, or is two numbers: 1 of 3
RIGHT = ("studies where one is wanted", "{number} instances")


@pytest.mark.parametrize(
    ("count", "words", "said"),
    [
        (0, ("draft",), "0 drafts"),
        (1, ("draft",), "1 draft"),
        (2, ("entry", "entries"), "2 entries"),
        (1, ("slice is", "slices are"), "1 slice is"),
    ],
)
def test_one_is_told_in_the_singular(count, words, said):
    assert counted(count, *words) == said


def test_no_message_says_1_drafts():
    root = Path(__file__).parents[2]
    lines = [
        f"{path.relative_to(root)}:{number}: {line.strip()}"
        for room in ROOMS
        for path in (root / room).rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if FIXED.search(line) and not any(right in line for right in RIGHT)
    ]
    assert lines == []
