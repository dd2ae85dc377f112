"""Metadata made before anybody asks for it: a viewer's first question is answered at once.

It is made in a process of its own. A thread that reads headers all the time would keep the
interpreter from those that answer, and every page would wait.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from select import select as wait_for

from sqlalchemy import exists, select
from sqlalchemy.exc import DBAPIError

from plugin.state.background import step_back
from plugin.state.clock import now_of
from plugin.state.database import connect, reason_of, session_factory
from plugin.state.files.spool import Spool
from plugin.state.tables import Hold, Study
from plugin.web.dicomweb.archive import Archive
from plugin.web.dicomweb.metadata import Metadata
from plugin.web.dicomweb.problems import Refused

LOGGER = logging.getLogger(__name__)
# A study is opened once it has a draft, seconds after it stopped arriving
_PAUSE_S = 2.0
# What is older was made ready when it came, or is made when somebody opens it
_RECENT = timedelta(hours=1)

# What is in hand when the service stops is finished in less, or made when somebody asks
_DRAIN_S = 5.0

_Seen = dict[str, datetime]


@contextmanager
def keeping_ready(database_url: str, spool: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Make the metadata of what has arrived, for the length of a `with` block.

    Parameters
    ----------
    database_url : str
        The service's database.
    spool : Path
        Folder of its spool.

    Yields
    ------
    subprocess.Popen
        The process, which ends with the block.
    """
    command = (sys.executable, "-P", "-m", __name__)
    # A group of its own: Ctrl-C is for the process that ends this one
    process = subprocess.Popen(command, stdin=subprocess.PIPE, process_group=0)
    assert process.stdin is not None
    with process, process.stdin as told:
        # A command line is read by others, and the address of a database may hold a password
        told.write(json.dumps([database_url, str(spool)]).encode() + b"\n")
        told.flush()
        try:
            yield process
        finally:
            told.close()
            try:
                process.wait(_DRAIN_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _main() -> None:
    """Run until standard input ends, as it does with whoever started this process."""
    step_back()
    database_url, spool = json.loads(sys.stdin.readline())
    archive = Archive(session_factory(connect(database_url)), Spool(Path(spool), floor_bytes=0))
    metadata, seen = Metadata(archive), _Seen()

    def ended(pause_s: float) -> bool:
        return bool(wait_for([sys.stdin], [], [], pause_s)[0])

    while not ended(_PAUSE_S):
        try:
            seen = make_ready(archive, metadata, seen, lambda: ended(0))
        except DBAPIError as error:
            LOGGER.debug("metadata is not made ahead: %s", reason_of(error))


def make_ready(
    archive: Archive, metadata: Metadata, seen: _Seen, ended: Callable[[], bool] = lambda: False
) -> _Seen:
    """Make the metadata of recent studies that nobody is sending.

    Parameters
    ----------
    archive : Archive
        Where they are.
    metadata : Metadata
        Makes and keeps it.
    seen : dict
        What the last call returned; what has not changed since is left alone.
    ended : callable
        Whether the rest is left to whoever opens it.

    Returns
    -------
    dict of str to datetime
        When something of each study arrived last.
    """
    with archive.sessions() as session:
        recent = Study.last_received_at > now_of(session) - _RECENT
        held = exists().where(Hold.study_id == Study.id)
        columns = Study.study_instance_uid, Study.last_received_at
        rows = session.execute(select(*columns).where(recent, ~held))
        found: _Seen = {row[0]: row[1] for row in rows}
    for uid, last in found.items():
        if seen.get(uid) != last and not ended():
            _make(archive, metadata, uid)
    return found


def _make(archive: Archive, metadata: Metadata, study: str) -> None:
    try:
        for _ in metadata.of(archive.instances(study)):
            pass
    except (Refused, OSError) as error:  # deleted meanwhile, or the disk is full: made when asked
        LOGGER.debug("metadata is not made ahead: %s", type(error).__name__)


if __name__ == "__main__":
    _main()
