"""Which studies a person wants to see listed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, or_, select

from plugin.state.tables import Delivery, DeliveryState, Draft, Study, StudyState

LATEST = 20  # studies, so that a list fits on a screen


@dataclass(frozen=True)
class StudyList:
    """What a person wants to see.

    Parameters
    ----------
    failed : bool
        Only studies that want a person: without the draft they should have, or with a draft or
        a rejection note that a destination does not take.
    state : str, optional
        Only these, see `StudyState`.
    sender : str, optional
        Only those of an AE title.
    since : datetime, optional
        Only those of which something arrived since then.
    limit : int
        So many of the latest.
    number : str, optional
        Only those with this accession number or Study Instance UID.
    before : datetime, optional
        Only those of which nothing arrived since then: the next page.
    """

    failed: bool = False
    state: str | None = None
    sender: str | None = None
    since: datetime | None = None
    limit: int = LATEST
    number: str | None = None
    before: datetime | None = None

    @property
    def chooses(self) -> bool:
        """Whether some studies are left out, however few there are."""
        return any(condition is not None for condition in self._conditions())

    def query(self) -> Select[Study]:
        """Return the query, newest first."""
        conditions = [one for one in self._conditions() if one is not None]
        newest = Study.last_received_at.desc(), Study.id.desc()
        return select(Study).where(*conditions).order_by(*newest).limit(self.limit)

    def _conditions(self) -> list[ColumnElement[bool] | None]:
        return [
            _wants_a_person() if self.failed else None,
            None if self.state is None else Study.state == self.state,
            None if self.sender is None else Study.sender == self.sender,
            None if self.since is None else Study.last_received_at >= self.since,
            None if self.number is None else self._has_the_number(),
            None if self.before is None else Study.last_received_at < self.before,
        ]

    def _has_the_number(self) -> ColumnElement[bool]:
        return or_(Study.study_instance_uid == self.number, Study.accession_number == self.number)


def _wants_a_person() -> ColumnElement[bool]:
    is_refused = Delivery.state == DeliveryState.FAILED
    refused = Draft.deliveries.any(is_refused & (Draft.is_current | Delivery.retracts))
    return or_(Study.state == StudyState.FAILED, Study.drafts.any(refused))
