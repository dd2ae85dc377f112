"""Whatever a text quotes, it is one harmless line afterwards."""

from __future__ import annotations

from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_io.cleaned import cleaned, cleaned_lines, cleaned_values


@given(st.text(st.characters()))
def test_no_control_character_is_left_and_a_second_cleaning_changes_nothing(text):
    once = cleaned(text)
    assert not {category(c) for c in once} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert once == cleaned(once)
    once.encode("utf-8")


@given(st.text(st.characters(categories=["L", "M", "N", "P", "S"], include_characters=" ")))
def test_what_a_person_can_read_stays(text):
    assert cleaned(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("B30f\0", "B30f\\x00"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("one\r\ntwo", "one  two"),
        ("a\u202eb", "a\\u202eb"),
        ("\x9b31m", "\\x9b31m"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_a_terminal_or_a_database_stumbles_over_is_shown(text, shown):
    assert cleaned(text) == shown


def test_texts_are_cleaned_wherever_they_stand_in_a_value():
    assert cleaned_values({"a\0": ["b\n", 1, None, {"c": "\x1b"}]}) == {
        "a\\x00": ["b ", 1, None, {"c": "\\x1b"}]
    }


def test_lines_stay_lines():
    assert cleaned_lines("one\x1b[2J\ntwo\x85three\r\n") == "one\\x1b[2J\ntwo three \n"
