"""What a reviewer does to a review: decide, decide for all alike, add, undo, note as read."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dicom_io.errors import UnusableData
from training.data.shards import write_atomically
from training.site.deidentify.folding import folded
from training.site.deidentify.known import KnownValues
from training.site.redaction.review import DECISIONS, Review, Row, occurrences
from training.site.redaction.site_list import NAMES, NO_NAMES, extend
from training.site.redaction.spans import KINDS, Change
from training.site.reviewing.log import Reading, read_log, sample, write_log

PROPOSED = "proposed.json"


@dataclass
class Desk:
    """A review that is open on the page.

    Parameters
    ----------
    work : Path
        The working folder.
    review : Review
        With everything proposed.
    reviewer : str
        Who is noted as having read.
    """

    work: Path
    review: Review
    reviewer: str
    _before: list[dict[str, list[Row]]] = field(default_factory=list)

    @classmethod
    def open(cls, work: Path, reviewer: str) -> Desk:
        """Open the review of a working folder.

        Raises
        ------
        UnusableData
            Nothing was proposed in it.
        """
        path = work / PROPOSED
        if not path.exists():
            raise UnusableData(f"{work} holds nothing to review: run `ctscribe prepare site` first")
        review = Review.open(work / "review.csv")
        for study, kept in json.loads(path.read_text("utf-8")).items():
            changes = [Change(**change) for change in kept["changes"]]
            review.propose(study, kept["text"], changes, KnownValues().plus(**kept["known"]))
        return cls(work, review, reviewer)

    def overview(self) -> dict[str, Any]:
        """Every report with what is left to do, and the changes that are alike."""
        log, drawn = read_log(self.work), set(sample(self.review.studies))
        return {
            "reviewer": self.reviewer,
            "kinds": KINDS,
            "reports": [
                {
                    "study": study,
                    "undecided": sum(not row.decision for row in self.review.report(study)[2]),
                    "in_sample": study in drawn,
                    "read": study in log,
                }
                for study in self.review.studies
            ],
            "groups": sorted(self._groups(), key=lambda group: -int(group["undecided"])),
        }

    def shown(self, study: str) -> dict[str, Any]:
        """A whole report in pieces: plain text, and changes with what was decided of them."""
        text, changes, rows = self.review.report(study)
        pieces: list[dict[str, Any]] = []
        end = 0
        for change, row in zip(changes, rows, strict=False):
            pieces += [{"text": text[end : change.start]}, asdict(row)]
            end = change.end
        pieces.append({"text": text[end:]})
        return {"study": study, "pieces": pieces, "added": [asdict(r) for r in rows if r.n is None]}

    def decide(self, study: str, n: int, decision: str, replacement: str = "") -> None:
        """Decide on one change.

        Parameters
        ----------
        study : str
            Its name in the review.
        n : int
            Number of the change in its report.
        decision : str
            What becomes of it.
        replacement : str
            Words in place of those that were proposed.
        """
        self._change({study: self._decided(study, {n}, decision, replacement)})

    def decide_alike(self, original: str, rule: str, decision: str) -> None:
        """Decide on every undecided change of the same words by the same rule.

        Parameters
        ----------
        original : str
            The words.
        rule : str
            That found them.
        decision : str
            What becomes of them.
        """
        self._change(
            {
                study: self._decided(
                    study,
                    {r.n for r in rows if not r.decision and _alike(r) == (folded(original), rule)},
                    decision,
                )
                for study, rows in self._rows()
            }
        )

    def add(self, study: str, original: str, kind: str) -> None:
        """Add what no rule found; it is replaced wherever it stands in the report.

        Parameters
        ----------
        study : str
            Its name in the review.
        original : str
            The words.
        kind : str
            What they are.
        """
        rows = self.review.report(study)[2]
        if kind not in KINDS or not occurrences(self.review.report(study)[0], original):
            raise UnusableData("whole words of the report are wanted, and a kind of placeholder")
        added = Row(study, None, f"[{kind}]", original, decision="add")
        self._change({study: [*rows, added]})

    def undo(self) -> None:
        """Take back the last decision, or the last decisions that were made at once."""
        if self._before:
            for study, rows in self._before.pop().items():
                self.review.put(study, rows)
            self.review.save()

    def note_read(self, study: str) -> None:
        """Note that the reviewer has read a report in full, with everything that is added to it."""
        rows = self.review.report(study)[2]
        now = datetime.now(UTC).isoformat(timespec="seconds")
        missed = sum(row.n is None for row in rows)
        log = read_log(self.work) | {study: Reading(study, self.reviewer, now, missed)}
        write_log(self.work, log)

    def list_word(self, word: str, *, is_name: bool) -> None:
        """Put a word on the site's list; the next `prepare site` goes by it."""
        extend(self.work, NAMES if is_name else NO_NAMES, [word])

    def _rows(self) -> Iterator[tuple[str, list[Row]]]:
        for study in self.review.studies:
            yield study, self.review.report(study)[2]

    def _groups(self) -> Iterator[dict[str, Any]]:
        alike: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for _, rows in self._rows():
            for row in rows:
                alike[_alike(row)].append(row)
        for (_, rule), rows in alike.items():
            if rule and len(rows) > 1:
                yield {
                    "original": rows[0].original,
                    "placeholder": rows[0].placeholder,
                    "rule": rule,
                    "count": len(rows),
                    "undecided": sum(not row.decision for row in rows),
                }

    def _decided(
        self, study: str, numbers: set[int | None], decision: str, replacement: str = ""
    ) -> list[Row]:
        if decision not in DECISIONS or decision == "add":
            raise UnusableData(f"{decision!r} is no decision")
        rows = self.review.report(study)[2]
        return [
            replace(row, decision=decision, replacement=replacement)
            if row.n is not None and row.n in numbers
            else row
            for row in rows
        ]

    def _change(self, rows: Mapping[str, Sequence[Row]]) -> None:
        before = {study: self.review.report(study)[2] for study in rows}
        for study, new in rows.items():
            self.review.put(study, new)
        self._before.append(before)
        self.review.save()


def keep_proposed(work: Path, review: Review, known: Mapping[str, KnownValues]) -> None:
    """Keep what was proposed, so that the page needs neither archive nor reports.

    Parameters
    ----------
    work : Path
        The private folder beside the data set.
    review : Review
        What was proposed.
    known : mapping of str to KnownValues
        What the headers of each study give away.
    """
    kept = {}
    for study in review.studies:
        text, changes, _ = review.report(study)
        kept[study] = {
            "text": text,
            "changes": [asdict(change) for change in changes],
            "known": asdict(known[study]),
        }
    path = work / PROPOSED
    write_atomically(path, json.dumps(kept, ensure_ascii=False))
    path.chmod(0o600)


def _alike(row: Row) -> tuple[str, str]:
    return folded(row.original), row.rule
