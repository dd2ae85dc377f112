"""Lists of words, one file each, separated by white space."""

from functools import cache
from importlib.resources import files


@cache
def word_list(name: str) -> frozenset[str]:
    """Read a list of words."""
    return frozenset((files(__name__) / f"{name}.txt").read_text("utf-8").split())
