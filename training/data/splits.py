"""Splits of a data set: the official one, by file, and one in which nothing leaks."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")


class Grouped(Protocol):
    """What a split needs to know of an image."""

    @property
    def key(self) -> str: ...

    @property
    def case(self) -> str: ...

    @property
    def text(self) -> str: ...


def grouped_split(
    images: Iterable[Grouped], texts: Mapping[str, str], held_out: float, seed: int
) -> dict[Part, list[str]]:
    """Split so that no case and no text is in two parts.

    Cases with the same text (as `normalised` sees it) form one group, which goes to one part as a
    whole. Training keeps every image of its groups. Validation and test keep one image a text, so
    that each of their texts has exactly one right image.

    Parameters
    ----------
    images : iterable of Grouped
        Their `case` is what must not be torn apart: a case, or a patient.
    texts : mapping of str to str
        The reports by key.
    held_out : float
        Fraction of the groups that go to validation, and of those that go to test.
    seed : int
        Decides which.

    Returns
    -------
    dict
        The keys of each part, in an order that the seed decides.
    """
    images = sorted(images, key=lambda image: _rank(seed, image.key))
    groups = _groups(images, texts)
    names = sorted(set(groups.values()), key=lambda name: _rank(seed, name))
    n = min(max(1, round(held_out * len(names))), len(names) // 3) if held_out else 0
    test, validation = set(names[:n]), set(names[n : 2 * n])

    def part_of(image: Grouped) -> Part:
        group = groups[image.case]
        return "test" if group in test else "validation" if group in validation else "train"

    return without_repeats(((part_of(image), image) for image in images), texts)


def without_repeats(
    images: Iterable[tuple[Part, Grouped]], texts: Mapping[str, str]
) -> dict[Part, list[str]]:
    """Leave out of validation and test what has the text of something before it."""
    split: dict[Part, list[str]] = {part: [] for part in PARTS}
    seen: set[str] = set()
    for part, image in images:
        text = normalised(texts[image.text])
        if part == "train" or text not in seen:
            split[part].append(image.key)
        seen.add(text)
    return split


def normalised(text: str) -> str:
    """A text without what two copies of it may differ in: case, punctuation, white space."""
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))


def linked(marks: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Name the group of each case: the smallest case that it shares marks with, however far.

    Parameters
    ----------
    marks : mapping of str to iterable of str
        What each case has, such as its texts, or the numbers that a patient is known under.
    """
    having: dict[str, set[str]] = defaultdict(set)
    for case, own in marks.items():
        for mark in own:
            having[mark].add(case)
    parent = {case: case for case in marks}

    def root(case: str) -> str:
        while parent[case] != case:
            parent[case] = parent[parent[case]]
            case = parent[case]
        return case

    for cases in having.values():
        first, *others = sorted(root(case) for case in cases)
        for other in others:
            # whichever was joined meanwhile, the smaller name stays the root
            a, b = sorted((root(first), root(other)))
            parent[b] = a
    return {case: root(case) for case in parent}


def _groups(images: Sequence[Grouped], texts: Mapping[str, str]) -> dict[str, str]:
    """Name the group of each case, by the texts that cases share."""
    marks: dict[str, set[str]] = defaultdict(set)
    for image in images:
        marks[image.case].add(normalised(texts[image.text]))
    return linked(marks)


def _rank(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed} {name}".encode()).hexdigest()
