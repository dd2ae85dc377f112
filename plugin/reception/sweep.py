"""At a receiver's start: nothing in the spool stays unknown, nothing half-written stays at all.

An instance whose process was killed between fsync and commit was not acknowledged, and its sender
may send it again or may not. It is registered like any other; sent again, it is known.
"""

from __future__ import annotations

import logging

from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from sqlalchemy import select

from dicom_io.errors import CtscribeError
from plugin.reception.committer import LARGEST_GROUP, record_durably
from plugin.reception.header import read_header
from plugin.reception.intake import Arrival, Cache
from plugin.state.completeness import Patience
from plugin.state.database import SessionFactory
from plugin.state.spool import Spool, digest_of, split_file
from plugin.state.tables import Instance, Quarantine

LOGGER = logging.getLogger(__name__)


def sweep(sessions: SessionFactory, spool: Spool, *, patience: Patience) -> int:
    """Register every instance file that the database does not know; return how many.

    Parameters
    ----------
    sessions, spool
        The service's database and spool.
    patience : Patience
        How long more of a study is waited for.
    """
    spool.remove_leftovers()
    unknown = _unknown_paths(sessions, spool)
    for start in range(0, len(unknown), LARGEST_GROUP):
        paths = unknown[start : start + LARGEST_GROUP]
        arrivals = [arrival for path in paths if (arrival := _read(spool, path)) is not None]
        spool.sync_folders(arrival.path for arrival in arrivals)
        record_durably(sessions, arrivals, patience=patience, cache=Cache())
    if unknown:
        LOGGER.warning("%d instances in the spool were not in the database", len(unknown))
    return len(unknown)


def _unknown_paths(sessions: SessionFactory, spool: Spool) -> list[str]:
    # The folder first: what a running receiver writes meanwhile is then known or not listed
    found = sorted(spool.instance_paths())
    with sessions.begin() as session:
        known = set(session.scalars(select(Instance.path)))
        known.update(session.scalars(select(Quarantine.path)))
    return [path for path in found if path not in known]


def _read(spool: Spool, relative: str) -> Arrival | None:
    path = spool.absolute(relative)
    data = path.read_bytes()
    dataset, _ = split_file(data)
    try:
        syntax = str(read_file_meta_info(path).TransferSyntaxUID)
        header = read_header(dataset, syntax)
    except (CtscribeError, InvalidDicomError, AttributeError, EOFError) as error:
        LOGGER.error("%s in the spool is damaged: %s", relative, error)
        return None
    return Arrival(
        header=header,
        transfer_syntax_uid=syntax,
        path=relative,
        size=len(data),
        sha256=digest_of(dataset),
    )
