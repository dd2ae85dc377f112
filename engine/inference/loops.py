"""When a model only repeats itself any more."""

from __future__ import annotations

from collections.abc import Sequence

LOOP_REPEATS, LOOP_TOKENS = 3, 32
"""A text loops if its end is one passage this often, and at least so many tokens of that."""


def end_before_loop(ids: Sequence[int] | Sequence[str]) -> int | None:
    """Tell where a text that ends in a loop should end: after the first of the repetitions.

    None if it does not end in one (`LOOP_REPEATS`, `LOOP_TOKENS`). Tokens are numbers or words.
    """
    for period in range(1, len(ids) // LOOP_REPEATS + 1):
        tail = max(period * LOOP_REPEATS, LOOP_TOKENS)
        if tail > len(ids) or ids[-tail:-period] != ids[period - tail :]:
            continue
        start = len(ids) - tail
        while start > 0 and ids[start - 1] == ids[start - 1 + period]:
            start -= 1
        return start + period
    return None
