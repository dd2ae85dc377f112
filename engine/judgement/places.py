"""Where in a generation's tokens a sentence begins."""

from __future__ import annotations

import re

import numpy as np

from engine.protocol import Generation

_IMPRESSION = re.compile(r"\bimpression\s*:", re.IGNORECASE)


def cut_at(generation: Generation, start: int) -> tuple[int, str]:
    """Cut the tokens where a sentence begins.

    Parameters
    ----------
    generation : Generation
    start : int
        Of the sentence, in the text; the length of the text for one that is to follow it.

    Returns
    -------
    tuple of int and str
        How many tokens come before that of its first character, and what of that token does, such
        as a space: what else could stand here begins with it.
    """
    ends = np.cumsum([len(piece) for piece in generation.tokens])
    first = int(np.searchsorted(ends, start, side="right"))
    begun = int(ends[first - 1]) if first else 0
    return first, generation.text[begun:start]


def end_of_findings(generation: Generation) -> tuple[int, str]:
    """Cut the tokens where Findings ends: before the impression, else at the end; see `cut_at`."""
    heading = _IMPRESSION.search(generation.text)
    first, lead = cut_at(generation, heading.start() if heading else len(generation.text))
    return first, lead or ("" if generation.text[-1:].isspace() else " ")
