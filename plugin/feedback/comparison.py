"""Two models on the same studies: what each wrote, and which findings each names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from difflib import SequenceMatcher
from statistics import median

from pydicom import dcmread
from sqlalchemy import select

from plugin.feedback.shadows import written_text
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.kept.trials import Shadow, ShadowState
from plugin.state.tables import Draft
from reporting.text.confidence import unmarked

ReadFindings = Callable[[str], Iterable[str]]
"""Names the findings of a text that it asserts."""


@dataclass(frozen=True)
class Pair:
    """What two models wrote of one study.

    Parameters
    ----------
    study : str
        Accession number, or Study Instance UID where there is none.
    current, shadow : str
        The texts.
    """

    study: str
    current: str
    shadow: str

    @property
    def alike(self) -> float:
        """How much of the words is the same, from 0 to 1."""
        return SequenceMatcher(None, self.current.split(), self.shadow.split(), False).ratio()


@dataclass
class Comparison:
    """The sum of all pairs.

    Parameters
    ----------
    pairs : int
        Studies that both models drafted.
    same_text, same_findings : int
        Of these.
    alike : list of float
        Of each pair.
    both, current_only, shadow_only : Counter
        In how many studies a finding is named by whom.
    differing : list
        Studies whose findings differ: what only the current, and what only the other model names.
    """

    pairs: int = 0
    same_text: int = 0
    same_findings: int = 0
    alike: list[float] = field(default_factory=list)
    both: Counter[str] = field(default_factory=Counter)
    current_only: Counter[str] = field(default_factory=Counter)
    shadow_only: Counter[str] = field(default_factory=Counter)
    differing: list[tuple[str, list[str], list[str]]] = field(default_factory=list)

    @property
    def words_alike(self) -> float | None:
        """The median over all pairs."""
        return median(self.alike) if self.alike else None

    def add(self, pair: Pair, read_findings: ReadFindings) -> None:
        """Count a pair."""
        current, shadow = set(read_findings(pair.current)), set(read_findings(pair.shadow))
        self.pairs += 1
        self.same_text += pair.current == pair.shadow
        self.same_findings += current == shadow
        self.alike.append(pair.alike)
        self.both.update(current & shadow)
        self.current_only.update(current - shadow)
        self.shadow_only.update(shadow - current)
        if current != shadow:
            self.differing.append((pair.study, sorted(current - shadow), sorted(shadow - current)))


def pairs(
    sessions: SessionFactory, spool: Spool, model: str, since: datetime | None
) -> Iterator[Pair]:
    """Yield what the current model and one on trial wrote of the same studies, oldest first.

    Parameters
    ----------
    sessions, spool
        The service's database and spool.
    model : str
        Name of the model on trial.
    since : datetime, optional
        The moment from which drafts were written.
    """
    done = Shadow.model_name == model, Shadow.state == ShadowState.DONE
    rows = select(Shadow).join(Draft, Draft.id == Shadow.draft_id).where(*done)
    if since is not None:
        rows = rows.where(Draft.created_at >= since)
    with sessions() as session:
        found = [
            (
                row.draft.study.accession_number or row.draft.study.study_instance_uid,
                spool.absolute(row.draft.path),
                row.text or "",
            )
            for row in session.scalars(rows.order_by(Shadow.id))
            if row.draft.path
        ]
    for study, path, text in found:
        if path.is_file():  # pruned meanwhile otherwise
            yield Pair(study, unmarked(written_text(dcmread(path))), text)
