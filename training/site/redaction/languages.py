"""Which language a report is in: the rules know some, and a report in another one is refused."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import regex

from dicom_io.errors import UnusableData

_FEWEST_WORDS = 8
"""A shorter text has too few words to tell languages apart."""

_SURE = 0.95
_WORDS = regex.compile(r"\p{L}[\p{L}\p{M}]+")
_OF_SCRIPTS = regex.compile(
    r"[\p{Latin}\p{Cyrillic}\p{Greek}\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Arabic}ー]"
)
_MOST_STRANGE = 0.2
# Latin is in every report; the others are written like one that is covered, so that a few
# sentences do not part them
_ALIKE = frozenset(("la", "gl", "ca", "af", "lb", "an", "oc"))


class UnknownLanguage(UnusableData):
    """No rule covers the language of a report; the message names nobody."""


@cache
def covered() -> frozenset[str]:
    """Languages (ISO 639-1) that the rules were measured in."""
    found = (files("training.site.redaction") / "sentences").iterdir()
    return frozenset(path.name.partition(".")[0] for path in found)


def refuse_unknown_language(text: str) -> None:
    """Refuse a report that the rules cannot read.

    Raises
    ------
    UnknownLanguage
        Its script is none of those that rules are for, or it is certainly in another language.
    """
    letters = [letter for letter in text if letter.isalpha()]
    strange = sum(not _OF_SCRIPTS.match(letter) for letter in letters)
    if strange > _MOST_STRANGE * len(letters):
        raise UnknownLanguage("its report is in a script that no rule covers")
    words = _WORDS.findall(text)
    if len(words) < _FEWEST_WORDS:
        return
    ranked = _identifier().rank(" ".join(words).lower())
    certainty = sum(p for language, p in ranked if language not in covered() | _ALIKE)
    if certainty >= _SURE:
        raise UnknownLanguage("its report is in a language that no rule covers")


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
