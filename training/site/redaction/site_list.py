"""A site's own list: names of its staff, and words that look like names and are none.

Two files of the working folder, one entry a line, which a person may edit. The first is begun with
the staff of every study and message.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.data.shards import write_atomically
from training.site.deidentify.folding import folded
from training.site.redaction.spans import Change

NAMES, NO_NAMES = "names.txt", "no_names.txt"


@dataclass(frozen=True)
class SiteList:
    """What a site knows of names.

    Parameters
    ----------
    names : tuple of str
        Looked for in every report.
    no_names : frozenset of str
        Folded words or phrases that stay, whichever rule takes them; what the study's own headers
        name goes all the same.
    """

    names: tuple[str, ...] = ()
    no_names: frozenset[str] = frozenset()

    @classmethod
    def read(cls, work: Path) -> SiteList:
        """Read it from a working folder; what is not there is empty."""
        return cls(
            tuple(_lines(work / NAMES)), frozenset(folded(line) for line in _lines(work / NO_NAMES))
        )

    def without_no_names(self, text: str, changes: Iterable[Change]) -> Iterator[Change]:
        """The changes, but for those of the listed words."""
        for change in changes:
            told = folded(text[change.start : change.end]).strip(" .,;:")
            if told not in self.no_names or change.rule.startswith("known"):
                yield change


def extend(work: Path, file: str, entries: Sequence[str]) -> None:
    """Add what is not there yet.

    Parameters
    ----------
    work : Path
        The private folder beside the data set.
    file : str
        Name of the list.
    entries : sequence of str
        What to add.
    """
    present = list(_lines(work / file))
    new = [one for one in dict.fromkeys(map(str.strip, entries)) if one and one not in present]
    if new:
        write_atomically(work / file, "".join(f"{line}\n" for line in (*present, *new)))
        (work / file).chmod(0o600)


def _lines(path: Path) -> Iterator[str]:
    if path.exists():
        yield from filter(None, map(str.strip, path.read_text("utf-8").splitlines()))
