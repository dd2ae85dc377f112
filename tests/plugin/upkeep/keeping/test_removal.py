"""Deleting is safe whatever is killed when, and whatever arrives meanwhile."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, select

from bench.year import Hospital, files_below
from plugin.reception.sweep import sweep
from plugin.state.completeness import Patience
from plugin.state.database import SessionFactory, open_database, session_factory
from plugin.state.files.spool import Spool
from plugin.state.tables import Instance, Quarantine, Removal
from plugin.upkeep.keeping.limits import Limit, Limits
from plugin.upkeep.keeping.retention import prune

MONTH = timedelta(days=30)
LIMITS = Limits(images=Limit(MONTH))
PATIENCE = Patience.of_seconds(60, 600)


class Killed(BaseException):
    """Ends what is being done, as SIGKILL would; what is open is rolled back."""


def is_whole(sessions: SessionFactory, spool: Spool) -> None:
    """Every row has its file, and every file its row."""
    with sessions() as session:
        named = {*session.scalars(select(Instance.path)), *session.scalars(select(Quarantine.path))}
        assert session.scalars(select(Removal.path)).all() == []
    there = {str(p.relative_to(spool.root)) for p in (spool.root / "instances").glob("*/*")}
    assert named == there
    assert list(spool.removed.iterdir()) == []


def killed_at(method: str, turn: int) -> Callable[..., None]:
    calls = iter(range(turn + 1, 0, -1))
    whole = getattr(Spool, method)

    def call(self: Spool, *what: object) -> object:
        if next(calls, 0) == 1:
            raise Killed
        return whole(self, *what)

    return call


@pytest.mark.parametrize("turn", [0, 1])
@pytest.mark.parametrize(
    "method", ["files_of", "take_out", "is_announced", "remove_folder", "delete_taken_out"]
)
def test_whatever_is_killed_the_next_turn_ends_it(
    hospital, sessions, spool, monkeypatch, method, turn
):
    gone, _ = hospital.studies(2)
    hospital.pass_by(days=31)
    stays = hospital.studies(1)[0]
    hospital.pass_by(hours=2)
    with monkeypatch.context() as patch:
        patch.setattr(Spool, method, killed_at(method, turn))
        with suppress(Killed):
            prune(sessions, spool, LIMITS, hospital.now)
    with sessions() as session:  # a row never names a file that is gone
        assert all(
            spool.absolute(path).is_file() for path in session.scalars(select(Instance.path))
        )
    prune(sessions, spool, LIMITS, hospital.now)
    is_whole(sessions, spool)
    assert not (spool.root / "instances" / gone).exists()
    assert files_below(spool.root / "instances" / stays)[0] == 3


@pytest.mark.parametrize("moment", ["take_out", "is_announced", "remove_folder"])
def test_what_arrives_again_at_this_moment_is_kept(hospital, sessions, spool, monkeypatch, moment):
    """The receiver announces and names its file, and waits for the study that is locked."""
    (study,) = hospital.studies(1)
    hospital.pass_by(days=31)
    arriving = []
    whole = getattr(Spool, moment)

    def arrive_first(self: Spool, *what: object) -> object:
        if not arriving:
            arriving.append(hospital._arrival(study, 2, b"", False))
        return whole(self, *what)

    with monkeypatch.context() as patch:
        patch.setattr(Spool, moment, arrive_first)
        prune(sessions, spool, LIMITS, hospital.now)
    kept = spool.absolute(arriving[0].path)
    assert kept.is_file()
    hospital.send(study, 3)
    prune(sessions, spool, LIMITS, hospital.now)
    is_whole(sessions, spool)


def test_a_file_moved_aside_by_a_killed_process_comes_back_if_a_row_names_it(
    hospital, sessions, spool
):
    (study,) = hospital.studies(1)
    with sessions() as session:
        path = session.scalars(select(Instance.path)).first()
    spool.take_out(path)
    prune(sessions, spool, LIMITS, hospital.now)
    is_whole(sessions, spool)
    assert study in path


def test_a_full_disk_or_a_forbidden_folder_stops_nothing_else(hospital, sessions, spool, caplog):
    first, second = hospital.studies(2)
    hospital.pass_by(days=31)
    whole = Spool.take_out

    def forbidden(self: Spool, relative: str) -> None:
        if first in relative:
            raise PermissionError(13, "Permission denied", relative)
        whole(self, relative)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Spool, "take_out", forbidden)
        with pytest.raises(PermissionError, match="Permission denied"):
            prune(sessions, spool, LIMITS, hospital.now)
    assert not (spool.root / "instances" / second).exists()
    prune(sessions, spool, LIMITS, hospital.now)
    is_whole(sessions, spool)


def prune_for_ever(url: str, root: Path, hospital_now) -> None:  # type: ignore[no-untyped-def]
    sessions, spool = session_factory(open_database(url)), Spool(root)
    while True:
        prune(sessions, spool, LIMITS, hospital_now)


def test_killed_processes_lose_nothing_beside_arrivals(database_url, sessions, spool):
    """Real processes are killed while they delete, and studies come again at the same time."""
    hospital = Hospital(sessions, spool)
    chance = random.Random(20261128)
    studies = hospital.studies(60, slices=4)
    hospital.pass_by(days=31)
    forked = multiprocessing.get_context("fork")
    for _ in range(8):
        sessions.kw["bind"].dispose()  # a connection is not shared with a child
        process = forked.Process(
            target=prune_for_ever, args=(database_url, spool.root, hospital.now), daemon=True
        )
        process.start()
        time.sleep(chance.uniform(0.05, 0.4))
        for study in chance.sample(studies, 2):
            hospital.send(study, slices=4)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        with sessions() as session:
            paths = session.scalars(select(Instance.path)).all()
        moved = set(spool.taken_out())
        assert all(spool.absolute(path).is_file() for path in paths if path not in moved)
    prune(sessions, spool, LIMITS, hospital.now)
    is_whole(sessions, spool)
    sweep(sessions, spool, patience=PATIENCE)
    is_whole(sessions, spool)


def test_beside_a_worker_nothing_that_it_reads_is_deleted(hospital, sessions, spool):
    from plugin.drafting.jobs import claim_job

    (study,) = hospital.studies(1)
    hospital.pass_by(days=31)
    hospital.send(study, 3, again=True)
    hospital.pass_by(days=31)
    claim = claim_job(sessions, hospital._watch, attempts=3, now=hospital.now)
    assert claim is not None
    prune(sessions, spool, LIMITS, hospital.now)
    assert all(spool.absolute(path).is_file() for path in claim.paths)


def test_nothing_else_waits_while_it_is_chosen_what_goes(hospital, sessions, spool):
    """Files are looked at outside of transactions: on SQLite each keeps all others waiting."""
    hospital.studies(2)
    hospital.pass_by(days=31)
    open_now: list[object] = []
    engine = sessions.kw["bind"]
    event.listen(engine, "begin", open_now.append)
    for end in ("commit", "rollback"):
        event.listen(engine, end, open_now.remove)
    whole = Spool.delete_taken_out

    def look(self: Spool, relative: str) -> None:
        assert open_now == []
        whole(self, relative)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Spool, "delete_taken_out", look)
        prune(sessions, spool, LIMITS, hospital.now)
    assert len(list(spool.removed.iterdir())) == 0
