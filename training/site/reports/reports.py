"""Signed reports, wherever they come from, and which of several counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from dicom_io.errors import UnusableData
from training.site.deidentify.known import KnownValues
from training.site.reports.sections import find_sections

Status = Literal["final", "corrected", "withdrawn", "preliminary"]


class NoReport(UnusableData):
    """A study has no report that may be used; the message says why, and names nobody."""


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
    valid = _latest([report for report in signed if not report.addendum])
    if valid.status == "withdrawn":
        raise NoReport("its report was withdrawn")
    sections = find_sections(valid.text)
    addenda = [r for r in signed if r.addendum and r.written >= valid.written]
    for addendum in _in_order(addenda):
        if addendum.status != "withdrawn":
            sections = sections.amended(find_sections(addendum.text))
    if not sections.text:
        raise NoReport("its report holds neither findings nor an impression")
    return Reading(sections.text, KnownValues.joined(report.known for report in known))


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
    if len(unique) > 1 and len({written for written, _ in unique}) < len(unique):
        raise NoReport("several addenda, and their order cannot be told")
    return [unique[key] for key in sorted(unique)]
