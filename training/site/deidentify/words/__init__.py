"""Lists of words, one file each, separated by white space; a line is a group where one is meant."""

from functools import cache
from importlib.resources import files


@cache
def word_list(name: str) -> frozenset[str]:
    """Read a list of words."""
    return frozenset((files(__name__) / f"{name}.txt").read_text("utf-8").split())


@cache
def word_groups(name: str) -> tuple[frozenset[str], ...]:
    """Read a list whose lines are groups."""
    lines = (files(__name__) / f"{name}.txt").read_text("utf-8").splitlines()
    return tuple(frozenset(line.split()) for line in lines)
