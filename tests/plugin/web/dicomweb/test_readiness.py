"""Metadata is there before anybody asks."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from plugin.reception.header import Header
from plugin.reception.intake import Arrival, record
from plugin.state.completeness import release
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.web.dicomweb.archive import Archive
from plugin.web.dicomweb.metadata import Metadata
from plugin.web.dicomweb.readiness import keeping_ready, make_ready
from tests.plugin.arrivals import CT, PATIENCE
from tests.waiting import eventually


def test_made_once_the_sender_is_gone(sessions: SessionFactory, spool: Spool) -> None:
    archive, folder = receive_damaged(sessions, spool)
    metadata = Metadata(archive)
    assert make_ready(archive, metadata, {}) == {}
    assert list(folder.glob("*.json")) == []
    with sessions.begin() as session:
        release(session, ["a"])
    seen = make_ready(archive, metadata, {})
    (made,) = folder.glob("*.json")
    made.unlink()
    assert make_ready(archive, metadata, seen) == seen
    assert list(folder.glob("*.json")) == []


def test_made_by_a_process_that_ends_with_the_service(
    sessions: SessionFactory, spool: Spool
) -> None:
    _, folder = receive_damaged(sessions, spool)
    with sessions.begin() as session:
        release(session, ["a"])
    address = sessions.kw["bind"].url.render_as_string(hide_password=False)
    with keeping_ready(address, spool.root) as process:
        eventually(lambda: list(folder.glob("*.json")), 120)  # its imports take long at times
    assert process.poll() is not None


def receive_damaged(sessions: SessionFactory, spool: Spool) -> tuple[Archive, Path]:
    """Receive a study that is still being sent; returns its folder."""
    (folder := spool.root / "instances" / "1.2").mkdir()
    archive, now = Archive(sessions, spool), datetime.now(UTC)
    headers = [Header(CT, f"1.2.9.{k}", "1.2", "1.2.5", "CT", None, own=False) for k in range(2)]
    arrivals = [
        Arrival(one, "1.2.840.10008.1.2.1", f"instances/1.2/{k}.dcm", 1, f"{k:064x}", "a")
        for k, one in enumerate(headers)
    ]
    for one in arrivals:
        spool.absolute(one.path).write_bytes(b"damaged: its UIDs are all that is told")
    with sessions.begin() as session:
        record(session, arrivals, patience=PATIENCE, now=now)
    return archive, folder
