"""Reports from a table: CSV or JSON lines, a row for each, by accession number."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from dicom_io.errors import UnusableData
from training.site.deidentify.known import KnownValues
from training.site.reports.moments import moments
from training.site.reports.reports import SignedReport, Status

COLUMNS = {
    "accession": ("accession", "accession_number", "accessionnumber", "acc"),
    "text": ("text", "report", "report_text"),
    "patient": ("patient", "patient_id", "patientid", "mrn"),
    "status": ("status",),
    "written": ("written", "time", "date", "datetime"),
    "addendum": ("addendum",),
    "staff": ("staff", "radiologist", "referrer"),
}
"""What a report has, and the names that its column may have; the first two are needed.

`staff` may name several columns, with commas between.
"""

_STATUS: dict[str, Status] = {
    **dict.fromkeys(("", "f", "final", "signed", "verified", "approved"), "final"),
    **dict.fromkeys(("c", "corrected", "amended"), "corrected"),
    **dict.fromkeys(("x", "d", "w", "cancelled", "deleted", "withdrawn"), "withdrawn"),
}
_YES = {"1", "true", "yes", "y", "x", "addendum"}
_LONGEST_FIELD = 10_000_000


def read_table(
    path: Path, columns: Mapping[str, str], time_format: str | None = None
) -> Iterator[SignedReport]:
    """Read a table in UTF-8, UTF-16 with a byte order mark, or else Windows-1252.

    Parameters
    ----------
    path : Path
        `.csv`, with commas, semicolons, tabs or bars, quoted as RFC 4180 has it; or `.jsonl`.
    columns : mapping of str to str
        Names of columns by what they hold (a key of `COLUMNS`), where they have others.
    time_format : str, optional
        How times are written, see `moments`; they decide which of several reports holds.

    Raises
    ------
    UnusableData
        It is no such table, has no column for the accession number or the text, or its times
        cannot be read. The message names the line, never what stands there.
    """
    found = list(_rows(path, columns))
    written = [(line, row.get("written", "")) for line, row in found]
    for (_, row), moment in zip(found, moments(written, time_format), strict=True):
        yield _report({**row, "written": moment})


def _rows(path: Path, columns: Mapping[str, str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Read what each row has, by its line."""
    rows = _json_lines(path) if path.suffix.lower() in (".jsonl", ".ndjson") else _csv(path)
    names: dict[str, list[str]] | None = None
    for line, row in rows:
        names = names or _names(row, columns)
        found = {
            key: "; ".join(row.get(one, "").strip() for one in named).strip("; ")
            for key, named in names.items()
        }
        if found["accession"] and found["text"]:
            yield line, found
        elif found["accession"] or found["text"]:
            raise UnusableData(
                f"the table of reports, line {line}: accession number or text is empty"
            )
    if names is None:
        raise _refusal("no row")


def _refusal(why: str, line: int | None = None) -> UnusableData:
    where = "" if line is None else f", line {line}"
    return UnusableData(f"the table of reports{where}: {why}")


def _report(found: Mapping[str, str]) -> SignedReport:
    return SignedReport(
        accession_number=found["accession"],
        text=found["text"],
        status=_STATUS.get(found.get("status", "").casefold(), "preliminary"),
        addendum=found.get("addendum", "").casefold() in _YES,
        written=found.get("written", ""),
        patient_ids=(found["patient"],) if found.get("patient") else (),
        known=_staff(found.get("staff", "")),
    )


def _staff(people: str) -> KnownValues:
    names = [name.strip() for name in re.split(r"[;/|\n]", people) if name.strip()]
    return KnownValues(names=tuple(names), staff=tuple(names))


def _names(row: Mapping[str, str], columns: Mapping[str, str]) -> dict[str, list[str]]:
    """The names of the columns of each thing that the table has; there are several of staff."""
    plain = {_plain(name): name for name in row}
    names = {}
    for key, usual in COLUMNS.items():
        wanted = tuple(map(_plain, columns[key].split(","))) if key in columns else usual
        present = [plain[name] for name in wanted if name in plain]
        if present:
            names[key] = present if key == "staff" else present[:1]
        needed = len(wanted) if key in columns else int(key in ("accession", "text"))
        if len(present) < needed:
            raise UnusableData(
                f"the table of reports has no column {' or '.join(wanted)} for the {key}"
            )
    return names


def _plain(name: str) -> str:
    return name.strip().casefold().replace(" ", "_")


def _csv(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    text = _decoded(path)
    first = text.partition("\n")[0]
    delimiter = max(",;\t|", key=first.count)
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.DictReader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                raise _refusal("as many values as columns are wanted", reader.line_num)
            yield reader.line_num, dict(row)
    except csv.Error as error:
        raise UnusableData(
            f"the table of reports, line {reader.line_num}: no CSV: {error}"
        ) from None


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    for number, line in enumerate(_decoded(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = None
        if not isinstance(row, dict):
            raise _refusal("no JSON object", number)
        yield number, {key: "" if value is None else str(value) for key, value in row.items()}


def _decoded(path: Path) -> str:
    content = path.read_bytes()
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", "strict")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")
