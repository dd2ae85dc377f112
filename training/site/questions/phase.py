"""The contrast phase of a series, where its headers leave no doubt."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from pydicom import Dataset

from training.data.letters import unaccented
from training.site.sources.source import stated

# Words of series descriptions; one that names two phases says nothing
_PHASES = {
    "non-contrast": r"non[ -]?contrast|without contrast|w/?o contrast|unenhanced|nativ[ae]?|nativo"
    r"|sans (?:injection|contraste)|sin contraste|noncon",
    "arterial": r"art|arterial|arteriell[a-z]*",
    "portal venous": r"portal|port[aeo]?[ -]?(?:l[ -]?)?ven[a-z]*|pvp?",
    "delayed": r"delay(?:ed)?|spat|spaet|spatphase|tardi[a-z]*|equilibrium|excretory|urogra[a-z]*",
}
_DELAYS_S = (("arterial", 15, 40), ("portal venous", 60, 90), ("delayed", 180, 1800))
"""Delays after the start of the injection that only one phase has."""


def contrast_phase(header: Dataset) -> str | None:
    """Read the phase of a series: non-contrast, arterial, portal venous or delayed.

    The description and the contrast agent must agree, and so must the delay between the start of
    the injection and the acquisition where the headers give both (PS3.3 C.7.6.4).

    Returns
    -------
    str or None
        None where nothing says it, or what says it does not agree.
    """
    described = _described(stated(header, "SeriesDescription"))
    enhanced = bool(stated(header, "ContrastBolusAgent"))
    delay = _delay_s(header)
    by_delay = next((p for p, low, high in _DELAYS_S if delay and low <= delay <= high), None)
    if enhanced:
        named = {one for one in (described, by_delay) if one}
        phase = named.pop() if len(named) == 1 else None
        return None if phase == "non-contrast" else phase
    return "non-contrast" if described == "non-contrast" else None


def _described(description: str) -> str | None:
    words = unaccented(description).replace("_", " ")
    found = [p for p, pattern in _PHASES.items() if re.search(rf"\b(?:{pattern})\b", words)]
    return found[0] if len(found) == 1 else None


def _delay_s(header: Dataset) -> float | None:
    """Seconds from the start of the injection to the acquisition of the series' first image."""
    begun = _time(stated(header, "ContrastBolusStartTime"))
    acquired = _time(stated(header, "AcquisitionTime"))
    if begun is None or acquired is None:
        return None
    return ((acquired - begun) % timedelta(days=1)).total_seconds()


def _time(value: str) -> datetime | None:
    digits = value.partition(".")[0].replace(":", "")
    return datetime.strptime(digits, "%H%M%S") if re.fullmatch(r"\d{6}", digits) else None
