"""Convolution kernels: soft or sharp, by the manufacturers' names."""

from __future__ import annotations

import re
from typing import Literal

Sharpness = Literal["soft", "unknown", "sharp"]

_SHARP_WORDS = re.compile(
    r"BONE|LUNG|EDGE|SHARP|ULTRA|DETAIL_?HR|KNOCHEN|POUMON|PULMO|HUESO|INNER.?EAR"
)
_SOFT_WORDS = re.compile(
    r"SOFT|STANDARD|STND|STD|DETL|DETAIL|BRAIN|BODY|WEICH|SMOOTH|CHST|MEDIASTIN"
)
# Siemens: family letters, then sharpness in tens: B30f, H31s, Br40, Hr64, J70h, U75u, Qr36
_SIEMENS = re.compile(r"^[A-Z][A-Z]?(\d\d)[A-Z]?$")
_SIEMENS_SHARP = 50
# Canon: FC01-FC29 body and head, soft; FC30 and above bone, high resolution and lung
_CANON = re.compile(r"^FC(\d\d)")
_CANON_SHARP = 30
_PHILIPS: dict[str, Sharpness] = {
    **dict.fromkeys(("A", "B", "C", "SA", "SB", "UA", "UB", "UC", "EA", "EB", "IMR1"), "soft"),
    **dict.fromkeys(("D", "E", "F", "L", "YA", "YB", "YC", "YD", "YE", "YF", "YL"), "sharp"),
}


def sharpness(kernel: str, description: str = "") -> Sharpness:
    """Tell soft from sharp kernels.

    Parameters
    ----------
    kernel : str
        ConvolutionKernel; of several values the first decides.
    description : str
        SeriesDescription, asked where the kernel is absent or unknown.

    Returns
    -------
    {"soft", "unknown", "sharp"}
    """
    by_name = _by_name(kernel.upper().strip("[]' ").split("'")[0].strip())
    return by_name if by_name != "unknown" else _by_word(description.upper())


def _by_name(kernel: str) -> Sharpness:
    if match := _CANON.match(kernel):
        return "sharp" if int(match[1]) >= _CANON_SHARP else "soft"
    if match := _SIEMENS.match(kernel):
        return "sharp" if int(match[1]) >= _SIEMENS_SHARP else "soft"
    return _PHILIPS.get(kernel) or _by_word(kernel)


def _by_word(text: str) -> Sharpness:
    if _SHARP_WORDS.search(text):
        return "sharp"
    return "soft" if _SOFT_WORDS.search(text) else "unknown"
