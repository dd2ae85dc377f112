"""Patterns that could stop a worker for years are known before a header meets them."""

from __future__ import annotations

import re
import time

import pytest

from plugin.rules.patterns import can_take_for_ever


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+b",
        "(x|y*)*",
        "(a|aa)+$",
        "(CT|CTA)+$",
        "(a{1,3})+b",
        "(a?.b)+c",
        "(a|b|ab)*c",
        "(.*a){8}$",
        "([A-Z][a-z]?)+$",
        "(a|b?)*c",
        "((a|aa)b?)+$",
    ],
)
def test_what_one_text_can_be_divided_into_in_several_ways_is_not_repeated(pattern):
    assert can_take_for_ever(pattern)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"(\d{1,3}\.)+$", "1.22.333." * 200 + "x"),
        (r"(\d+\.)*\d$", "1.22.333." * 200 + "x"),
        ("(a?b)+$", "ab" * 500 + "x"),
        ("(ab|cd)*$", "abcd" * 500 + "x"),
        ("(head|neck)( |$)", "head neck" * 200),
        ("(foo |bar )*x", "foo bar " * 300),
        ("a+b*.*c", "a" * 1000),
        ("test.*one", "test" * 200),
        ("(A|a)*b", "a" * 1000),
        ("([a-z]{2}){3}", "ab" * 400),
    ],
)
def test_what_is_let_through_ends_soon(pattern, text):
    assert not can_take_for_ever(pattern)
    began = time.process_time()
    re.match(pattern, text, re.IGNORECASE)
    assert time.process_time() - began < 1
