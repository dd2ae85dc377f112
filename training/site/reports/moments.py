"""When reports were written: a column of a table, in one format that every row must have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from dicom_io.errors import UnusableData

_Read = tuple[datetime, bool]
"""A moment, and whether it has a time of day."""

_PARTS = ("%[YyGcx]", "%[mbBjcx]", "%[djcx]")
_CLOCK = re.compile(r" (?:Uhr|h)$")
# What stands in databases where nobody knows the day: 0001-01-01, 1900-01-01, 9999-12-31
_FIRST_YEAR, _LAST_YEAR = 1970, 2100

_DAY_FIRST, _MONTH_FIRST = "day first", "month first"
_TIME = (
    r"(?:[T\ ,]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d+)?)?"
    r"\ *(?P<half>[AaPp]\.?[Mm]\.?)?\ *(?P<zone>Z|[+-]\d{2}(?::?\d{2})?)?)?"
)
# Years have four digits: of two nobody knows which century, or which number is the year
_FORMS = (
    re.compile(rf"(?P<year>\d{{4}})([-./])(?P<month>\d{{1,2}})\2(?P<day>\d{{1,2}}){_TIME}"),
    re.compile(
        r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})"
        r"(?:[T\ ]?(?P<hour>\d{2}):?(?P<minute>\d{2})(?::?(?P<second>\d{2}))?(?:[.,]\d+)?"
        r"(?P<half>)(?P<zone>Z|[+-]\d{2}:?\d{2})?)?"
    ),
    # With dots the day is first everywhere; with bars and hyphens it depends on the country
    re.compile(rf"(?P<day>\d{{1,2}})\.\ ?(?P<month>\d{{1,2}})\.\ ?(?P<year>\d{{4}}){_TIME}"),
    re.compile(rf"(?P<one>\d{{1,2}})([/-])(?P<two>\d{{1,2}})\2(?P<year>\d{{4}}){_TIME}"),
)


def moments(values: Sequence[tuple[int, str]], form: str | None = None) -> Iterator[str]:
    """Read a column; yields digits from the year down, so that later is larger.

    Parameters
    ----------
    values : sequence of (int, str)
        The line, and what stands there; nothing where the report has no date.
    form : str, optional
        How all are written, as `datetime.strptime` takes it ("%m/%d/%Y %I:%M %p"); None where it is
        to be found out.

    Raises
    ------
    UnusableData
        A value is no time of the format, or 03/04/2024 could be either day. The message names the
        line, never what stands there.
    """
    stated = [(line, _CLOCK.sub("", " ".join(value.split()))) for line, value in values]
    read = _by_form(stated, form) if form else _found_out(stated)
    for line, (moment, _) in read.items():
        if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
            raise _refusal(f"no year from {_FIRST_YEAR} to {_LAST_YEAR}", line)
    zoned = {moment.tzinfo is not None for moment, _ in read.values()}
    if len(zoned) > 1:
        raise _refusal("some times have a time zone and some have none: which is later is unknown")
    for line, _ in stated:
        yield _digits(*read[line]) if line in read else ""


def _digits(moment: datetime, timed: bool) -> str:
    moment = moment.astimezone(UTC) if moment.tzinfo else moment
    # strftime leaves the zeros of the year 0999 out
    return f"{moment.year:04d}" + moment.strftime("%m%d%H%M%S" if timed else "%m%d")


def _by_form(stated: Iterable[tuple[int, str]], form: str) -> dict[int, _Read]:
    if not all(re.search(part, form) for part in _PARTS):
        raise _refusal(f"the format {form} has no year, month and day")
    read = {}
    for line, value in stated:
        if value:
            try:
                read[line] = datetime.strptime(value, form), "%H" in form or "%I" in form
            except (ValueError, re.error):
                raise _refusal(f"no time of the format {form}", line) from None
    return read


def _found_out(stated: Iterable[tuple[int, str]]) -> dict[int, _Read]:
    found = [(line, _match(line, value)) for line, value in stated if value]
    unclear = [(line, match) for line, match in found if "one" in match.re.groupindex]
    orders = [order for order in (_DAY_FIRST, _MONTH_FIRST) if _fits(unclear, order)]
    if unclear and len(orders) != 1:
        raise _refusal(
            "03/04/2024 may be either day, and no row tells which: say it by --time-format "
            '"%d/%m/%Y" or "%m/%d/%Y"'
            if orders
            else "some rows have the day first, others the month"
        )
    order = orders[0] if unclear else _DAY_FIRST
    read = {}
    for line, match in found:
        try:
            read[line] = _moment(match, order), match["hour"] is not None
        except ValueError:
            raise _refusal("no such day or time", line) from None
    return read


def _match(line: int, value: str) -> re.Match[str]:
    for form in _FORMS:
        if match := form.fullmatch(value):
            return match
    raise _refusal(
        "no time that is understood, such as 2024-02-28 14:05: say the format by --time-format "
        '"%d %b %Y"',
        line,
    )


def _fits(unclear: Iterable[tuple[int, re.Match[str]]], order: str) -> bool:
    month = "two" if order == _DAY_FIRST else "one"
    return all(1 <= int(match[month]) <= 12 for _, match in unclear)


def _moment(match: re.Match[str], order: str) -> datetime:
    said = match.groupdict()
    if "one" in said:
        day, month = ("one", "two") if order == _DAY_FIRST else ("two", "one")
        said |= {"day": said[day], "month": said[month]}
    year, month_, day_, hour, minute, second = (
        int(said[name] or 0) for name in ("year", "month", "day", "hour", "minute", "second")
    )
    if half := said["half"]:
        if not 1 <= hour <= 12:
            raise ValueError
        hour = hour % 12 + (12 if half[0] in "pP" else 0)
    zone = said["zone"]
    offset = None
    if zone:
        full = "+0000" if zone == "Z" else zone if len(zone) > 3 else f"{zone}00"
        offset = datetime.strptime(full, "%z").tzinfo
    return datetime(year, month_, day_, hour, minute, second, tzinfo=offset)


def _refusal(why: str, line: int | None = None) -> UnusableData:
    where = "" if line is None else f", line {line}"
    return UnusableData(f"the table of reports{where}: {why}")
