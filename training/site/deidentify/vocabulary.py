"""The words that may leave the hospital in a header: technical ones, and no others.

A free text of a header is not searched for identifiers, which would leave what nobody thought of.
It is reduced to the words of these lists.
"""

from __future__ import annotations

import re
import unicodedata

from training.site.deidentify.words import word_list

OTHER = "OTHER"

MANUFACTURERS = {
    "GE": "GE",
    "GENERAL ELECTRIC": "GE",
    "SIEMENS": "Siemens",
    "PHILIPS": "Philips",
    "TOSHIBA": "Toshiba",
    "CANON": "Canon",
    "HITACHI": "Hitachi",
    "FUJIFILM": "Fujifilm",
    "SHIMADZU": "Shimadzu",
    "NEUSOFT": "Neusoft",
    "NMS": "Neusoft",
    "UIH": "United Imaging",
    "UNITED IMAGING": "United Imaging",
    "SAMSUNG": "Samsung",
    "NEUROLOGICA": "NeuroLogica",
    "MINFOUND": "MinFound",
    "ANKE": "Anke",
    "IMATRON": "Imatron",
    "ELSCINT": "Elscint",
    "MARCONI": "Marconi",
    "PICKER": "Picker",
    "PLANMED": "Planmed",
    "CARESTREAM": "Carestream",
    "CURVEBEAM": "CurveBeam",
}

MODELS = word_list("scanner_models")

_TECHNICAL = word_list("technical")
# 5mm, 1.25 mm, 70s, B30f: a number says nothing by itself only where it has a unit
_TECHNICAL_NUMBER = re.compile(r"(?<![\w.,/-])\d{1,2}(?:[.,]\d{1,3})?\s?(?:mm|cm|s|sec)(?![\w.])")
_WORD = re.compile(r"[^\W\d_]+")
_KERNEL = re.compile(
    r"[ABDHIJQSTU][a-z]?\d\d[a-z]{0,2}|FC\d\d|[A-FLSUEY][A-DLF]?|IMR\d|"
    r"STANDARD|STND|SOFT|DETAIL|DETL|BONE|BONEPLUS|LUNG|EDGE|EDGEPLUS|ULTRA|CHST|BODY|BRAIN|SMOOTH"
)
_DASH_AND_SPACE = re.compile(r"[\s_]+")


def technical_words(text: str) -> str:
    """The technical words of a description, in their order: "Mr Long CTA 1 mm" -> "cta 1 mm"."""
    folded = plain(text)
    numbers = {match.start(): match.group() for match in _TECHNICAL_NUMBER.finditer(folded)}
    spans = [range(start, start + len(number)) for start, number in numbers.items()]
    found = dict(numbers)
    for match in _WORD.finditer(folded):
        if match.group() in _TECHNICAL and not any(match.start() in span for span in spans):
            found[match.start()] = match.group()
    return " ".join(found[start] for start in sorted(found))


def manufacturer(text: str) -> str:
    """The maker of a scanner as one of `MANUFACTURERS`, else OTHER."""
    words = _DASH_AND_SPACE.sub(" ", text.upper())
    for name, known in MANUFACTURERS.items():
        if re.search(rf"\b{name}\b", words):
            return known
    return OTHER


def model(text: str) -> str:
    """The model of a scanner, of the words and sizes that models are made of, else OTHER."""
    words = [word for word in _DASH_AND_SPACE.sub(" ", text.strip()).split(" ") if word]
    named = [word for word in words if word.upper() in MODELS]
    if not named:
        return OTHER
    sizes = {"4", "6", "8", "10", "16", "20", "32", "40", "64", "80", "128", "160", "256", "320"}
    return " ".join(word for word in words if word in sizes or word.upper() in MODELS)


def kernel(text: str) -> str | None:
    """A convolution kernel as makers name them; None for anything else."""
    name = text.strip()
    return name if _KERNEL.fullmatch(name) or _KERNEL.fullmatch(name.upper()) else None


def plain(text: str) -> str:
    """Small letters without diacritics; umlauts as two letters, as these lists have them."""
    spelt = text.casefold().translate({0xE4: "ae", 0xF6: "oe", 0xFC: "ue"})
    letters = unicodedata.normalize("NFKD", spelt)
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
