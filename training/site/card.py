"""The data card: what a data set holds, as counts that single nobody out."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from training.data.shards import write_atomically
from training.data.store import ImageRecord, Store
from training.site.redaction.measured import stated

FEWEST_PATIENTS = 5
"""Smaller groups of patients are not counted out, and smaller groups of scanners not named."""

_METHODS = (
    "Headers: Basic Application Confidentiality Profile of DICOM PS3.15 (edition 2026c) by "
    "dicom-anonymizer, on an allow-list of elements; options: clean descriptors, modified dates, "
    "patient characteristics (sex, decade of age), device identity (maker and model).",
    "UIDs and patients: keyed pseudonyms (HMAC-SHA256). Dates: shifted by a constant per patient.",
    "Reports: names, dates, times, ages from 90, numbers, places and signatures became typed "
    "placeholders, found by rules that know the values of the study's own headers.",
)
_LIMITS = (
    "Objects that are known to hold text (secondary captures, dose sheets, 8-bit pictures, "
    "BurnedInAnnotation) were refused. A search of pixels finds bright text of common sizes.",
    "Faces were not removed: from a head CT a face can be reconstructed.",
    "A name that is in no header and stands without title, label or signature may be left.",
    "A rare finding can tell who a patient is to somebody who knows of it.",
)
_TABLES = (
    ("Parts", "splits", "images"),
    ("Sex", "sex", "patients"),
    ("Ages", "ages", "patients"),
    ("Scanners", "scanners", "patients"),
    ("Planes", "planes", "patients"),
    ("Phases", "phases", "patients"),
    ("Not taken", "rejected", "studies"),
)


def write_card(out: Path, store: Store, facts: Mapping[str, Any]) -> None:
    """Write `datacard.json` and `DATACARD.md`.

    Parameters
    ----------
    out : Path
        Folder of the store.
    store : Store
        Its images; their `origin` is what is counted.
    facts : mapping
        What the pipeline knows besides: `studies_seen`, `studies_taken`, `rejected` (a list of
        what and why), `splits`, `seed`, `held_out`, `reviewed`, `recognizer`, `years`, `kept` and
        others, which are copied.
    """
    card = make_card(store.images.values(), facts)
    write_atomically(out / "datacard.json", json.dumps(card, indent=1, ensure_ascii=False))
    write_atomically(out / "DATACARD.md", as_markdown(card))


def make_card(images: Iterable[ImageRecord], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Count what the images are of, by patients."""
    images = list(images)
    rejected = Counter(one["why"] for one in facts.get("rejected", ()))
    return {
        "software": f"ctscribe {version('ctscribe')}",
        "patients": len({image.case for image in images}),
        "studies": len({image.text for image in images}),
        "images": len(images),
        "years": facts.get("years"),
        "sex": _patients(images, lambda o: o.get("sex") or "not stated"),
        "ages": _patients(images, lambda o: o.get("age_decade") or "not stated"),
        "scanners": _merged(_patients(images, _scanner, told=False)),
        "planes": _patients(images, lambda o: o.get("plane") or "not stated"),
        "phases": _patients(images, lambda o: o.get("phase") or "not stated"),
        "rejected": dict(rejected.most_common()),
        "review": "by a person" if facts.get("reviewed") else "none: every proposal was accepted",
        "recognizer": "none",
        "rules": _rules(),
        "reading": {},
        "pixels": "not searched for text",
        "de_identification": list(_METHODS),
        "limits": list(_LIMITS),
        **{k: v for k, v in facts.items() if k not in ("rejected", "years", "images", "reviewed")},
    }


def as_markdown(card: Mapping[str, Any]) -> str:
    """The card for people."""
    years, rules = card["years"], card["rules"]
    lines = [
        "# Data card",
        "",
        f"{card['patients']} patients, {card['studies']} studies, {card['images']} images"
        + (f", {years[0]}–{years[1]}" if years else "")
        + f". Made by {card['software']}.",
        "",
        f"Review of the reports: **{card['review']}**. Recognizer of names beside the rules: "
        f"**{card['recognizer']}**. Pixels: **{card['pixels']}**.",
        "",
        *_read(card["reading"]),
        "",
        *_joined(card.get("patients_joined", 0)),
        f"On {rules['sentences']} invented sentences the rules found "
        f"{rules['identifiers_found']:.1%} of the identifiers, and took {rules['words_lost']:.2%} "
        "of the words that should stay.",
    ]
    for title, key, counted in _TABLES:
        lines += ["", f"## {title}", "", f"| | {counted} |", "| --- | --- |"]
        lines += [f"| {name} | {count} |" for name, count in card.get(key, {}).items()]
    for title, key in (("De-identification", "de_identification"), ("Limits", "limits")):
        lines += ["", f"## {title}", "", *(f"- {sentence}" for sentence in card[key])]
    return "\n".join([*lines, "", f"Seed {card.get('seed')}, held out {card.get('held_out')}.", ""])


def _read(reading: Mapping[str, Any]) -> list[str]:
    if not reading.get("read_in_full"):
        return ["Nobody noted a report as read in full: no bound on what was missed can be given."]
    return [
        f"{reading['read_in_full']} of {reading['reports']} reports were read in full by "
        f"{len(reading['reviewers'])} people, {reading['first']} to {reading['last']}. Of "
        f"{reading['read_of_random_sample']} drawn at random, {reading['of_these_with_a_leak']} "
        f"held a leak, which was mended: at most {reading['leaks_per_1000_at_most']} of 1,000 "
        "unread reports hold one (95 % confidence)."
    ]


def _joined(patients: int) -> list[str]:
    if not patients:
        return []
    return [
        f"{patients} patient numbers belong to people who have another one (the same name and "
        "birth date, or a number that both name): all of a person stands in one part.",
        "",
    ]


def _rules() -> dict[str, Any]:
    """What the rules find of invented identifiers, and what they take of the rest."""
    score = stated()["all"]
    return {
        "sentences": score.sentences,
        "identifiers_found": round(score.recall, 4),
        "words_lost": round(score.loss, 4),
    }


def _scanner(origin: Mapping[str, Any]) -> str:
    named = [origin.get("manufacturer"), origin.get("model")]
    return " ".join(str(word) for word in named if word and word != "OTHER") or "other"


def _patients(
    images: Iterable[ImageRecord], of: Callable[[Mapping[str, Any]], str], *, told: bool = True
) -> dict[str, Any]:
    """How many patients each value has; small numbers are only said to be small."""
    cases: dict[str, set[str]] = defaultdict(set)
    for image in images:
        cases[of(image.origin)].add(image.case)
    counts = {value: len(cases[value]) for value in sorted(cases, key=_order)}
    return {value: _told(count) for value, count in counts.items()} if told else counts


def _merged(scanners: Mapping[str, int]) -> dict[str, Any]:
    """Scanners of few patients together."""
    counts: Counter[str] = Counter()
    for name, count in scanners.items():
        counts[name if count >= FEWEST_PATIENTS else "other"] += count
    return {name: _told(count) for name, count in counts.most_common()}


def _told(count: int) -> int | str:
    return count if count >= FEWEST_PATIENTS else f"<{FEWEST_PATIENTS}"


def _order(value: str) -> tuple[int, str]:
    """Decades by their number, other words behind them."""
    digits = value.rstrip("s+")
    return (int(digits), value) if digits.isdecimal() else (1000, value)
