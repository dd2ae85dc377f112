"""Metadata made before anybody asks for it: a viewer's first question is answered at once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Event

from sqlalchemy import exists, select
from sqlalchemy.exc import DBAPIError

from plugin.state.background import in_background
from plugin.state.clock import now_of
from plugin.state.database import reading, reason_of
from plugin.state.tables import Hold, Study
from plugin.web.dicomweb.archive import Archive
from plugin.web.dicomweb.metadata import Metadata
from plugin.web.dicomweb.problems import Refused

LOGGER = logging.getLogger(__name__)
# A study is opened once it has a draft, seconds after it stopped arriving
_PAUSE_S = 2.0
# What is older was made ready when it came, or is made when somebody opens it
_RECENT = timedelta(hours=1)

_Seen = dict[str, datetime]


@contextmanager
def keeping_ready(archive: Archive) -> Iterator[None]:
    """Make the metadata of what has arrived, for the length of a `with` block."""
    metadata = Metadata(archive)

    def run(ended: Event) -> None:
        seen: _Seen = {}
        while not ended.wait(_PAUSE_S):
            try:
                seen = make_ready(archive, metadata, seen)
            except DBAPIError as error:
                LOGGER.debug("metadata is not made ahead: %s", reason_of(error))

    with in_background(("metadata", run)):
        yield


def make_ready(archive: Archive, metadata: Metadata, seen: _Seen) -> _Seen:
    """Make the metadata of recent studies that nobody is sending.

    Parameters
    ----------
    archive : Archive
        Where they are.
    metadata : Metadata
        Makes and keeps it.
    seen : dict
        What the last call returned; what has not changed since is left alone.

    Returns
    -------
    dict of str to datetime
        When something of each study arrived last.
    """
    with reading(archive.sessions)() as session:
        recent = Study.last_received_at > now_of(session) - _RECENT
        held = exists().where(Hold.study_id == Study.id)
        columns = Study.study_instance_uid, Study.last_received_at
        rows = session.execute(select(*columns).where(recent, ~held))
        found: _Seen = {row[0]: row[1] for row in rows}
    for uid, last in found.items():
        if seen.get(uid) != last:
            _make(archive, metadata, uid)
    return found


def _make(archive: Archive, metadata: Metadata, study: str) -> None:
    try:
        for _ in metadata.of(archive.instances(study)):
            pass
    except (Refused, OSError) as error:  # deleted meanwhile, or the disk is full: made when asked
        LOGGER.debug("metadata is not made ahead: %s", type(error).__name__)
