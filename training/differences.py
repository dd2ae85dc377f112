"""What differs between two sets of settings, so that a refusal can name it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[tuple[str, object, object]]:
    """Yield each setting that differs: its keys with dots between, what it was and what it is.

    A setting that one side lacks is None there. Those of `now` come first, in their order.
    """
    for key in dict.fromkeys([*now, *before]):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            for inner, was, is_now in differences(old, new):
                yield f"{key}.{inner}", was, is_now
        elif old != new:
            yield key, old, new
