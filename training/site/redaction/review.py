"""The list of every change to the reports, which a person accepts or corrects.

A CSV file that survives a spreadsheet: what was found stands in «guillemets», so that no program
takes it for a date, a number or a formula, and rows may be sorted: study and number name them.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import regex

from dicom_io.errors import IdentifiedContent, UnusableData
from training.site.deidentify.folding import fold, folded
from training.site.deidentify.known import KnownValues
from training.site.redaction.identifiers import find_identifiers
from training.site.redaction.known_values import known_values, residues, words_of
from training.site.redaction.spans import KINDS, Change, apply, in_placeholder

COLUMNS = (
    *("study", "n", "placeholder", "original", "context", "rule"),
    *("decision", "replacement", "check"),
)
DECISIONS = ("", "accept", "keep", "change", "add")
_CONTEXT = 40
_ENCODINGS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


@dataclass(frozen=True)
class Row:
    """A change, and what was decided of it.

    Parameters
    ----------
    study : str
        Its pseudonym.
    n : int or None
        Number of the change in the report; None for a change that a person added.
    placeholder, original, context, rule : str
        What is replaced by what, where, and what found it.
    decision : str
        "accept", "keep" (the text stays), "change" (by `replacement`), "add" (a row for something
        that was missed), or "" while nobody has decided.
    check : str
        Digest of text and change: a decision holds for exactly these.
    """

    study: str
    n: int | None
    placeholder: str
    original: str
    context: str = ""
    rule: str = ""
    decision: str = ""
    replacement: str = ""
    check: str = ""

    @property
    def name(self) -> str:
        """How a message names it."""
        return f"study {self.study}, row {self.n if self.n is not None else 'added'}"


class Review:
    """The list of a data set; `open` reads it, `save` writes it."""

    def __init__(self, path: Path, rows: Iterable[Row]) -> None:
        self.path = path
        self._before: dict[str, list[Row]] = {}
        for row in rows:
            self._before.setdefault(row.study, []).append(row)
        self._texts: dict[str, tuple[str, list[Change], KnownValues]] = {}
        self._rows: dict[str, list[Row]] = {}

    @classmethod
    def open(cls, path: Path) -> Review:
        """Read a list, as it was written or as a spreadsheet saved it.

        Raises
        ------
        UnusableData
            It is no such list, or a decision is none; the row is named.
        """
        return cls(path, _read(path) if path.exists() else ())

    def propose(
        self, study: str, text: str, changes: Sequence[Change], known: KnownValues | None = None
    ) -> None:
        """Put the changes of a report on the list; earlier decisions on the same ones stay.

        Parameters
        ----------
        study : str
            Pseudonym.
        text : str
            The report; it is kept in memory only.
        changes : sequence of Change
            As `find_identifiers` gives them for this text.
        known : KnownValues, optional
            None of these may be left in the text in the end.

        Raises
        ------
        UnusableData
            A person decided on this report, and the report or the row is not the same any more.
        """
        rows = [_row(study, n, text, change) for n, change in enumerate(changes, 1)]
        self._texts[study] = (text, list(changes), known or KnownValues())
        self._rows[study] = _with_decisions(rows, self._before.get(study, []), text)

    @property
    def studies(self) -> list[str]:
        """Pseudonyms of those that were proposed."""
        return sorted(self._rows)

    def report(self, study: str) -> tuple[str, list[Change], list[Row]]:
        """The text of a report as it was written, its changes, and its rows.

        Rows of changes come first, in their order.
        """
        text, changes, _ = self._texts[study]
        return text, changes, list(self._rows[study])

    def put(self, study: str, rows: Sequence[Row]) -> None:
        """Take the place of a report's rows, as they are after a decision.

        Raises
        ------
        UnusableData
            One of them makes no sense; the row is named.
        """
        for row in rows:
            _refuse_nonsense(row, self._texts[study][0])
        self._rows[study] = list(rows)

    @property
    def decided(self) -> int:
        """How many decisions a person has made."""
        return sum(bool(row.decision) for rows in self._rows.values() for row in rows)

    @property
    def undecided(self) -> int:
        """How many changes nobody has decided on."""
        return sum(not row.decision for rows in self._rows.values() for row in rows)

    def kept(self, study: str) -> list[str]:
        """What a person left in a report, or wrote into it, knowing what the rules say of it."""
        said = {"keep": lambda row: row.original, "change": lambda row: row.replacement}
        return [said[row.decision](row) for row in self._rows[study] if row.decision in said]

    def text(self, study: str, *, accept_all: bool = False) -> str:
        """The report as it was decided.

        Raises
        ------
        UnusableData
            Changes are undecided, and `accept_all` does not accept them.
        IdentifiedContent
            What the headers hold of the patient is still in it.
        """
        text, changes, known = self._texts[study]
        rows = self._rows[study]
        proposed = {row.n: row for row in rows if row.n is not None}
        open_rows = [row for row in proposed.values() if not row.decision]
        if open_rows and not accept_all:
            raise UnusableData(f"{open_rows[0].name}: nobody has decided on it")
        decided = [_replacement(proposed[n]) for n in range(1, len(changes) + 1)]
        changed, kept = _with_added(text, changes, decided, [row for row in rows if row.n is None])
        _refuse_residues(study, changed, kept, known)
        return changed

    def save(self) -> None:
        """Write the list: the studies that were proposed, and no others."""
        cells = [row for study in self.studies for row in map(_cells, self._rows[study])]
        _write(self.path, (COLUMNS, *cells))

    def save_texts(self, path: Path) -> None:
        """Write every whole text, as it was written and as it would be if all was accepted."""
        texts = ((study, *self._texts[study][:2]) for study in self.studies)
        cells = ((study, _guarded(t), _guarded(apply(t, changes))) for study, t, changes in texts)
        _write(path, (("study", "original", "redacted"), *cells))


def _write(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Write a table that is whole whenever it is there, for its owner only."""
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    unfinished = path.with_suffix(".part")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8-sig", newline="") as file:
        file.write(buffer.getvalue())
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _row(study: str, n: int, text: str, change: Change) -> Row:
    original = text[change.start : change.end]
    before = text[max(0, change.start - _CONTEXT) : change.start]
    after = text[change.end : change.end + _CONTEXT]
    check = hashlib.sha256(f"{text}\0{change}".encode()).hexdigest()[:12]
    context = f"{before}{change.placeholder}{after}"
    return Row(study, n, change.placeholder, original, context, change.rule, check=f"c{check}")


def _with_decisions(rows: list[Row], before: Sequence[Row], text: str) -> list[Row]:
    earlier = {row.check: row for row in before if row.n is not None}
    checks = {row.check for row in rows}
    for row in before:
        _refuse_nonsense(row, text)
        if row.n is not None and row.decision and row.check not in checks:
            raise UnusableData(
                f"{row.name}: the report or the row is not the one that was decided on; "
                "clear the decision, and decide again"
            )
    for row in rows:
        known = earlier.get(row.check)
        if known is not None and known.decision and known.original != row.original:
            raise UnusableData(f"{known.name}: its original was edited")
    decided = [
        replace(row, decision=known.decision, replacement=known.replacement)
        if (known := earlier.get(row.check)) is not None
        else row
        for row in rows
    ]
    return [*decided, *(row for row in before if row.n is None)]


def _refuse_nonsense(row: Row, text: str) -> None:
    if row.n is None and not occurrences(text, row.original):
        raise UnusableData(f"{row.name}: what it names is not in the report")
    if row.replacement and _identifies(row.replacement):
        raise UnusableData(f"{row.name}: its replacement has the form of an identifier")


def _identifies(text: str) -> bool:
    """Whether rules find something in what a person wrote in the place of an identifier."""
    found = find_identifiers(text, KnownValues())
    return any(not in_placeholder(text, change) for change in found)


def _replacement(row: Row) -> str | None:
    """What stands in the place of a change; None where the original stays."""
    if row.decision == "keep":
        return None
    return row.replacement if row.decision == "change" else row.placeholder


def _with_added(
    text: str, changes: Sequence[Change], decided: Sequence[str | None], added: Sequence[Row]
) -> tuple[str, list[str]]:
    """The text with everything replaced, and the originals that stay by decision."""
    originals = [text[change.start : change.end] for change in changes]
    pairs = list(zip(originals, decided, strict=True))
    kept = [original for original, replacement in pairs if replacement is None]
    changed = apply(text, changes, [o if put is None else put for o, put in pairs])
    for row in added:
        changed = _without(changed, row.original, row.replacement or row.placeholder)
    return changed, kept


def occurrences(text: str, words: str) -> list[tuple[int, int]]:
    """Where words stand in a text as words, in any case and with any spaces between them."""
    compared = fold(text)
    pattern = r"\s+".join(map(regex.escape, folded(words).split()))
    bounded = rf"(?<![\p{{L}}\p{{N}}]){pattern}(?![\p{{L}}\p{{N}}])"
    found = regex.finditer(bounded if pattern else r"(?!)", compared.text)
    if not words.isascii() and regex.search(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]", words):
        found = regex.finditer(pattern, compared.text)  # no spaces end words there
    return [compared.span(*match.span()) for match in found]


def _without(text: str, words: str, replacement: str) -> str:
    for start, end in reversed(occurrences(text, words)):
        if not in_placeholder(text, Change(start, end, "NAME", "added")):
            text = text[:start] + replacement + text[end:]
    return text


def _refuse_residues(study: str, text: str, kept: Sequence[str], known: KnownValues) -> None:
    """The last sweep: no value of the headers may be left, unless a person kept it."""
    left = [text[c.start : c.end] for c in known_values(text, known) if not in_placeholder(text, c)]
    allowed = {word for whole in kept for word in words_of(whole)}
    if any(not words_of(part) <= allowed for part in left) or residues(text, known, kept):
        raise IdentifiedContent(f"study {study}: a value of its headers is left in the report")


def _cells(row: Row) -> list[str]:
    number = "" if row.n is None else str(row.n)
    return [
        *(row.study, number, row.placeholder, _guarded(row.original), _guarded(row.context)),
        *(row.rule, row.decision, _guarded(row.replacement) if row.replacement else "", row.check),
    ]


def _guarded(text: str) -> str:
    """What no spreadsheet reads as a number, a date or a formula, on one line."""
    return "«" + text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t") + "»"


def _unguarded(cell: str) -> str:
    text = cell.strip()
    if not (text.startswith("«") and text.endswith("»") and len(text) > 1):
        return text  # a person typed it
    parts = text[1:-1].split("\\\\")
    return "\\".join(part.replace("\\n", "\n").replace("\\t", "\t") for part in parts)


def _read(path: Path) -> list[Row]:
    content = path.read_bytes()
    try:
        text = content.decode(_ENCODINGS.get(content[:2], "utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UnusableData(f"{path} is not UTF-8: save it as “CSV UTF-8”") from error
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    names = [name.strip().casefold() for name in next(lines, [])]
    missing = [column for column in COLUMNS if column not in names]
    if missing:
        raise UnusableData(f"{path} has no column {', '.join(missing)}")
    rows: list[Row] = []
    for cells in lines:
        if any(cell.strip() for cell in cells):
            values = dict(zip(names, [*cells, *[""] * len(names)], strict=False))
            rows.append(_parsed(values, f"{path}, line {lines.line_num}"))
    _refuse_doubles(rows, path)
    return rows


def _parsed(values: dict[str, str], where: str) -> Row:
    plain = {name: _unguarded(cell) for name, cell in values.items()}
    decision, number = plain["decision"].casefold(), plain["n"]
    kind = plain["placeholder"].strip("[]")
    wrong = {
        "the decision is none of accept, keep, change, add": decision not in DECISIONS,
        "n is no number": bool(number) and not number.isdecimal(),
        "a row that was added has the decision add, and no n": bool(number) == (decision == "add"),
        f"the placeholder is none of {', '.join(KINDS)}": kind not in KINDS,
        "change needs a replacement": decision == "change" and not plain["replacement"],
        "a row that was added needs an original": decision == "add" and not plain["original"],
    }
    for why, is_so in wrong.items():
        if is_so:
            raise UnusableData(f"{where}: {why}")
    kept = {
        name: plain[name]
        for name in ("study", "original", "context", "rule", "replacement", "check")
    }
    n = int(number) if number else None
    return Row(n=n, placeholder=f"[{kind}]", decision=decision, **kept)


def _refuse_doubles(rows: Sequence[Row], path: Path) -> None:
    seen: set[tuple[str, int]] = set()
    for row in rows:
        if row.n is not None:
            if (row.study, row.n) in seen:
                raise UnusableData(f"{path}: {row.name} is there twice")
            seen.add((row.study, row.n))
