"""What the routes of administrators share: the service, who asks, and how faults are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Query
from fastapi.params import Depends
from pydantic import AfterValidator, AwareDatetime, BaseModel, StringConstraints

from dicom_io.errors import CtscribeError, NotKnown
from plugin.settings import Settings
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.web.dicomweb.problems import Refused, may_answer
from plugin.web.dicomweb.routes import Identify

# Databases and time zones are at odds with years far away, and with NUL
_YEARS = range(1970, 2200)
_PLAIN = r"^[^\x00-\x1f\x7f]*$"


def _is_near(moment: datetime) -> datetime:
    if moment.year not in _YEARS:
        raise ValueError("no such year")
    return moment


Moment = Annotated[AwareDatetime, AfterValidator(_is_near)]
"""A moment with its zone."""
Name = Annotated[str, StringConstraints(max_length=128, pattern=_PLAIN)]
"""A name or number, in one line."""
Limit = Annotated[int, Query(ge=1, le=500)]
"""How long a page is."""
Key = Annotated[int, Query(ge=1, lt=2**63)]
"""The key of the last row of the page before."""
Told = dict[str, Any]
"""Plain values, for JSON."""
REFUSALS = may_answer(404, 409, 422)


class Reason(BaseModel):
    """Why something is done: for the audit trail, which may name a patient."""

    reason: Annotated[str, StringConstraints(max_length=1000, pattern=_PLAIN)] = ""


@dataclass(frozen=True)
class Office:
    """Where administrators work.

    Parameters
    ----------
    read_settings : callable
        The settings, as their file stands; raises `ConfigurationError`.
    sessions, spool
        The service's database and spool.
    identify : Identify
        Names who asks.
    may : sequence of Depends
        What every request must pass.
    """

    read_settings: Callable[[], Settings]
    sessions: SessionFactory
    spool: Spool
    identify: Identify
    may: Sequence[Depends]


@contextmanager
def telling() -> Iterator[None]:
    """Answer what cannot be done with its reason.

    Raises
    ------
    Refused
        In place of the service's own errors: 404 where something is not known, else 409.
    """
    try:
        yield
    except NotKnown as error:
        raise Refused(404, "not-found", str(error)) from error
    except CtscribeError as error:
        raise Refused(409, "not-possible", str(error)) from error


def page(rows: Sequence[Told], limit: int, key: str) -> int | None:
    """Return where the next page begins; None where there is none.

    Parameters
    ----------
    rows : sequence of dict
        One more than the page takes, where there are more.
    limit : int
        How many it takes.
    key : str
        Of a row, by which rows are ordered.
    """
    return rows[limit - 1][key] if len(rows) > limit else None
