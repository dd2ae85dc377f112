"""Whether a study shows what a model was trained on, as far as its headers say.

A model abstains where they clearly name other regions of the body only. Many headers name none, or
a wrong one beside the right one: then it writes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydicom import Dataset

from engine.protocol import Region

# Of BodyPartExamined (PS3.16 annex L) and of what sites write in its place, letters only
_WORDS: dict[Region, tuple[str, ...]] = {
    "head": ("HEAD", "BRAIN", "SKULL", "ORBIT", "SINUS", "FACE", "JAW", "CRANI", "KOPF"),
    "neck": ("NECK", "LARYNX", "THYROID", "CAROTID", "HALS"),
    "chest": ("CHEST", "THORA", "TORAX", "LUNG", "HEART", "CARDIAC", "CORONARY", "MEDIASTIN"),
    "abdomen": ("ABD", "LIVER", "KIDNEY", "PANCREA", "SPLEEN", "ADRENAL", "COLON", "STOMACH"),
    "pelvis": ("PELVI", "BLADDER", "PROSTATE", "BECKEN"),
    "spine": ("SPINE", "VERTEBRA"),
    "extremities": (
        *("SHOULDER", "HUMERUS", "ELBOW", "FOREARM", "WRIST", "HAND", "FINGER"),
        *("FEMUR", "KNEE", "TIBIA", "ANKLE", "FOOT", "LEG", "EXTREMITY"),
    ),
}  # fmt: skip

_DESCRIPTIONS = ("StudyDescription", "SeriesDescription", "ProtocolName")


def reason_to_withhold(regions: Sequence[Region], header: Dataset) -> str | None:
    """Tell why a model must not describe a series: a clause, or None.

    Parameters
    ----------
    regions : sequence of Region
        What the model was trained on; empty where it does not say.
    header : Dataset
        Of one image of the series.
    """
    shown = regions_named(header)
    if not regions or not shown or shown & set(regions):
        return None
    return (
        f"the study shows the {_listed(sorted(shown))}, and the model was trained on images of "
        f"the {_listed(regions)}"
    )


def regions_named(header: Dataset) -> set[Region]:
    """Return the regions that a header names: BodyPartExamined, else its descriptions."""
    part = re.sub(r"[^A-Z]", "", str(header.get("BodyPartExamined") or "").upper())
    if found := {region for region, words in _WORDS.items() if any(w in part for w in words)}:
        return found
    if part:  # such as WHOLEBODY
        return set()
    text = " ".join(str(header.get(keyword) or "") for keyword in _DESCRIPTIONS).upper()
    said = set(re.findall(r"[A-Z]+", text))
    return {region for region, words in _WORDS.items() if _begun(said, words)}


def _begun(said: set[str], words: Sequence[str]) -> bool:
    return any(one.startswith(word) for one in said for word in words)


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
