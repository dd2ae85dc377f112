"""Signed reports, wherever they come from, and which of several counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from dicom_io.errors import UnusableData
from training.data.sections import find_sections
from training.site.deidentify.known import KnownValues

Status = Literal["final", "corrected", "withdrawn", "preliminary"]


class NoReport(UnusableData):
    """A study has no report that may be used; the message says why, and names nobody."""


@dataclass(frozen=True)
class Part:
    """One observation (OBX) of a report.

    Parameters
    ----------
    number : str
        Of the observation within its message (OBX-1).
    name : str
        What it is (OBX-3 and OBX-4); all lines of a report may have the same.
    heading, text : str
        What stands above it, and what it says.
    deleted : bool
        Whether a correction takes it away.
    """

    number: str
    name: str
    heading: str
    text: str = field(repr=False)
    deleted: bool = False


def text_of(parts: Iterable[Part]) -> str:
    """Join parts under their headings, each heading once for neighbours."""
    lines: list[str] = []
    above = ""
    for part in parts:
        if part.deleted:
            continue
        if part.heading and part.heading != above:
            lines.append(f"{part.heading}:")
        above = part.heading
        lines.append(part.text)
    return "\n".join(lines).strip()


@dataclass(frozen=True)
class SignedReport:
    """One report, or an addition to one. Everything here identifies; none of it may be shown.

    Parameters
    ----------
    accession_number : str
        Of the study that it is about.
    text : str
        As it was written, with line breaks.
    status : {"final", "corrected", "withdrawn", "preliminary"}
        Preliminary ones, and what a machine wrote, are never used.
    addendum : bool
        Whether it adds to an earlier report.
    written : str
        When, as digits from the year down, so that later is larger; nothing where unknown.
    patient_ids : tuple of str
        Every one that the report gives; nothing where it gives none.
    replaces : tuple of str
        Names of earlier reports that this one takes the place of.
    name : str
        Of this report, for `replaces`.
    parts : tuple of Part
        What the text is made of, where it came in parts that a later message may correct.
    known : KnownValues
        People, numbers, dates and places that its message names, which may stand in the text too.
    """

    accession_number: str = field(repr=False)
    text: str = field(repr=False)
    status: Status = "final"
    addendum: bool = False
    written: str = field(default="", repr=False)
    patient_ids: tuple[str, ...] = field(default=(), repr=False)
    replaces: tuple[str, ...] = field(default=(), repr=False)
    name: str = field(default="", repr=False)
    parts: tuple[Part, ...] = field(default=(), repr=False)
    known: KnownValues = field(default_factory=KnownValues, repr=False)


@dataclass(frozen=True)
class Reading:
    """What the reports of a study say, addenda and corrections considered.

    Parameters
    ----------
    text : str
        Findings and impression that hold now.
    known : KnownValues
        What the messages name, those of replaced reports too.
    """

    text: str = field(repr=False)
    known: KnownValues = field(repr=False)


def reading_of(reports: Iterable[SignedReport]) -> Reading:
    """Find what holds among the reports of one study.

    The latest final or corrected report counts, and takes the place of all before it. The sections
    of its addenda take the place of its own; an addendum without headings is joined to its
    impression.

    Raises
    ------
    NoReport
        There is none, it is not signed or was withdrawn, holds neither findings nor an impression,
        or which of several holds cannot be told.
    """
    known = list(reports)
    if not known:
        raise NoReport("no report")
    signed = [r for r in known if r.status != "preliminary"]
    if not signed:
        raise NoReport("no report that a person has signed")
    _require_comparable([report.written for report in signed])
    reports = [report for report in signed if not report.addendum]
    valid = _latest(reports)
    if valid.status == "withdrawn":
        raise NoReport("its report was withdrawn")
    sections = find_sections(_whole(valid, reports))
    addenda = [r for r in signed if r.addendum and (r.written >= valid.written or not r.written)]
    if len(reports) > 1 and not all(a.written for a in addenda):
        raise NoReport("an addendum without a date, and which of several reports it adds to")
    for addendum in _in_order(addenda):
        if addendum.status != "withdrawn":
            sections = sections.amended(find_sections(addendum.text))
    if not sections.text:
        raise NoReport("its report holds neither findings nor an impression")
    return Reading(sections.text, KnownValues.joined(report.known for report in known))


def _require_comparable(moments: Sequence[str]) -> None:
    """Refuse a day beside a time of the same day.

    Raises
    ------
    NoReport
        Nobody knows which of the two is later.
    """
    stated = sorted(filter(None, set(moments)))
    if any(later.startswith(earlier) for earlier, later in pairwise(stated)):
        raise NoReport("its reports have a day here and a time of that day there")


def _latest(reports: Sequence[SignedReport]) -> SignedReport:
    """The report that no other replaces: by name, by time, or because all say the same."""
    if not reports:
        raise NoReport("an addendum without the report that it adds to")
    replaced = {name for report in reports for name in report.replaces}
    left = [report for report in reports if not report.name or report.name not in replaced]
    left = left or list(reports)
    if all(report.written for report in left):
        last = max(report.written for report in left)
        left = [report for report in left if report.written == last]
    if len({(report.text.strip(), report.status == "withdrawn") for report in left}) > 1:
        raise NoReport("several reports, and which of them holds cannot be told")
    return left[0]


def _in_order(addenda: Sequence[SignedReport]) -> list[SignedReport]:
    unique = {(a.written, a.text.strip()): a for a in addenda}
    moments = {written for written, _ in unique}
    if len(unique) > 1 and (len(moments) < len(unique) or "" in moments):
        raise NoReport("several addenda, and their order cannot be told")
    return [unique[key] for key in sorted(unique)]


def _whole(report: SignedReport, reports: Sequence[SignedReport]) -> str:
    """Return the text of a report; a correction of some parts leaves the others as they were.

    Raises
    ------
    NoReport
        It may correct some lines or all, which cannot be told.
    """
    parts = _whole_parts(report, reports)
    return text_of(parts) if parts else report.text


def _whole_parts(report: SignedReport, reports: Sequence[SignedReport]) -> tuple[Part, ...]:
    gone = max((one.written for one in reports if one.status == "withdrawn"), default="")
    before = [one for one in reports if one.parts and gone <= one.written < report.written]
    before = [one for one in before if one.status != "withdrawn"]
    if report.status != "corrected" or not report.parts or not before:
        return report.parts
    earlier = _whole_parts(_latest(before), before)
    named, known = ({part.name for part in parts} for parts in (report.parts, earlier))
    if named < known:  # some sections of several
        return _with_sections(earlier, report.parts)
    if len(known) == 1 and named == known:
        return _with_lines(earlier, report)
    return report.parts


def _with_sections(earlier: Sequence[Part], corrected: Sequence[Part]) -> tuple[Part, ...]:
    """Put corrected sections in the places of those of the same name."""
    found: list[Part] = []
    placed: set[str] = set()
    named = {part.name for part in corrected}
    for part in earlier:
        if part.name not in named:
            found.append(part)
        elif part.name not in placed:
            placed.add(part.name)
            found += [one for one in corrected if one.name == part.name and not one.deleted]
    return tuple(found)


def _with_lines(earlier: Sequence[Part], report: SignedReport) -> tuple[Part, ...]:
    """Put corrected lines in the places of those of the same number.

    Raises
    ------
    NoReport
        Lines 1, 2, … of a report of more lines are a shorter report, or its first lines; lines that
        were not there before are said of none.
    """
    numbers, known = ([part.number for part in parts] for parts in (report.parts, earlier))
    deletes = any(part.deleted for part in report.parts)
    if numbers == known[: len(numbers)] and len(numbers) < len(known) and not deletes:
        if not find_sections(report.text).headed:
            raise NoReport("its correction is of some lines or of all, which cannot be told")
        return report.parts
    if set(numbers) <= set(known):
        corrected = {part.number: part for part in report.parts}
        merged = [corrected.get(part.number, part) for part in earlier]
        return tuple(part for part in merged if not part.deleted)
    if numbers[:1] != ["1"] and numbers[:1] != [""]:
        raise NoReport("its correction has lines that the report before had not")
    return report.parts
