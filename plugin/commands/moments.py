"""Moments as people write them on the command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

_AGO = re.compile(r"(\d+)([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


def moment(since: str) -> datetime:
    """Read a day (2026-11-21) or a span that ends now (7d, 12h, 30m).

    Raises
    ------
    click.BadParameter
        It is neither.
    """
    if ago := _AGO.fullmatch(since):
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        return datetime.fromisoformat(since).astimezone()
    except ValueError:
        raise click.BadParameter(
            f"{since} is no day (2026-11-21), and no 7d, 12h or 30m", param_hint="--since"
        ) from None
