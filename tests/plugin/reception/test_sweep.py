"""What a killed receiver left behind: files that no row knows."""

from __future__ import annotations

import os
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian
from sqlalchemy import delete, select

from plugin.reception.receiver import running_receiver
from plugin.reception.sweep import sweep, sweeping
from plugin.state.completeness import Patience
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool, file_head
from plugin.state.kept.absent import what_is_lacking
from plugin.state.tables import Absent, Event, Hold, Instance, Job, Quarantine, Series, Study
from tests.plugin import intake_objects
from tests.plugin.intake_objects import encoded, make_slice, new_uid, store
from tests.waiting import eventually

PATIENCE = Patience(timedelta(hours=1), timedelta(hours=2))


def keep(spool: Spool, dataset) -> str:
    """Write an instance as the receiver does before it commits."""
    study, uid = str(dataset.StudyInstanceUID), str(dataset.SOPInstanceUID)
    head = file_head(dataset.SOPClassUID, uid, ExplicitVRLittleEndian, "SENDER")
    return intake_objects.keep(spool, study, uid, encoded(dataset), head)


@pytest.fixture
def run(sessions: SessionFactory, spool: Spool):
    return lambda: sweep(sessions, spool, patience=PATIENCE)


def count(sessions: SessionFactory, table) -> int:
    with sessions() as session:
        return len(session.scalars(select(table)).all())


def alert(sessions: SessionFactory) -> str:
    with sessions() as session:
        return session.scalars(select(Event.message).where(Event.kind == "damaged")).one()


def test_a_file_without_a_row_is_registered_with_study_and_job(run, spool, sessions):
    relative = keep(spool, make_slice(new_uid()))
    assert run() == 1
    with sessions() as session:
        assert session.scalars(select(Instance.path)).all() == [relative]
    assert count(sessions, Job) == 1


def test_a_second_sweep_finds_nothing(run, spool):
    keep(spool, make_slice(new_uid()))
    run()
    assert run() == 0
    assert spool.unrecorded() == []


def test_what_is_known_is_not_listed_again(run, spool, monkeypatch):
    for _ in range(3):
        keep(spool, make_slice(new_uid()))
    run()
    keep(spool, make_slice(new_uid()))
    monkeypatch.setattr(Spool, "instance_paths", lambda _: pytest.fail("all were listed"))
    assert run() == 1


def test_an_acknowledged_slice_leaves_nothing_to_look_at(sessions, spool):
    with running_receiver(sessions, spool, patience=PATIENCE) as port:
        assert store(port, make_slice(new_uid())) == [0x0000]
    assert spool.unrecorded() == []


def test_a_spool_that_was_put_back_is_looked_at_whole(run, spool):
    keep(spool, make_slice(new_uid()))
    run()
    keep(spool, make_slice(new_uid()))
    shutil.rmtree(spool.root / "incoming")  # a backup leaves it out
    again = Spool(spool.root)
    assert not again.all_known
    assert run() == 1


def test_a_running_receiver_takes_in_what_a_killed_one_left(sessions, spool):
    with sweeping(sessions, spool, patience=PATIENCE, pause_s=0.02):
        keep(spool, make_slice(new_uid()))
        assert eventually(lambda: count(sessions, Instance) == 1)


def test_a_name_that_no_file_ever_got_is_forgotten(run, spool):
    keep(spool, make_slice(new_uid()))
    run()
    path = spool.absolute(keep(spool, make_slice(new_uid())))
    path.unlink()
    (link,) = (spool.root / "incoming").glob("*.unrecorded")
    run()
    assert spool.unrecorded()
    os.utime(link, (0, 0), follow_symlinks=False)
    run()
    assert spool.unrecorded() == []


def test_the_draft_of_a_dead_worker_is_removed_once_it_is_old(run, spool):
    draft = spool.absolute(spool.write_draft(make_slice(new_uid())))
    (link,) = (spool.root / "incoming").iterdir()
    run()
    assert draft.exists()
    os.utime(link, (0, 0), follow_symlinks=False)
    run()
    assert not draft.exists()
    assert spool.unrecorded() == []


def test_a_slice_sent_again_after_the_sweep_is_known(run, spool, sessions):
    dataset = make_slice(new_uid())
    keep(spool, dataset)
    with running_receiver(sessions, spool, patience=PATIENCE) as port:
        assert store(port, dataset) == [0x0000]
    assert count(sessions, Instance) == 1
    assert count(sessions, Quarantine) == 0


def test_a_quarantined_file_is_known_too(run, spool, sessions):
    dataset = make_slice(new_uid())
    with running_receiver(sessions, spool, patience=PATIENCE) as port:
        store(port, dataset)
        dataset.InstanceNumber = 5
        store(port, dataset)
    assert run() == 0


def test_a_damaged_file_is_set_aside_and_named_and_stops_nothing(run, spool, sessions):
    relative = keep(spool, make_slice(new_uid()))
    damaged = spool.absolute(relative)
    damaged.write_bytes(damaged.read_bytes()[:-9])
    keep(spool, make_slice(new_uid()))
    run()
    assert count(sessions, Instance) == 1
    assert relative in alert(sessions)
    assert not damaged.exists()
    (aside,) = (spool.root / "damaged").iterdir()
    assert str(aside.relative_to(spool.root)) in alert(sessions)


def a_folder(path: Path) -> None:
    path.mkdir()


def a_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def noise(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 40)


def a_head_that_lies(path: Path) -> None:
    path.write_bytes(bytes(128) + b"DICM" + b"\x02\0\0\0UL\4\0" + b"\xff" * 4 + bytes(999))


@pytest.mark.parametrize("odd", [a_folder, a_dangling_link, noise, a_head_that_lies])
def test_whatever_is_called_like_an_instance_stops_nothing(run, spool, sessions, odd):
    whole = spool.absolute(keep(spool, make_slice(new_uid())))
    odd(whole.parent / "x.dcm")
    assert run() == 1
    assert count(sessions, Instance) == 1
    assert "x.dcm" in alert(sessions)
    assert len(list((spool.root / "damaged").iterdir())) == 1


@pytest.mark.parametrize("size", [0, 100, 140])
def test_a_file_too_short_for_its_head_stops_nothing(run, spool, sessions, size):
    damaged = spool.absolute(keep(spool, make_slice(new_uid())))
    damaged.write_bytes(damaged.read_bytes()[:size])
    keep(spool, make_slice(new_uid()))
    run()
    assert count(sessions, Instance) == 1


def test_a_database_that_was_lost_is_rebuilt_from_the_spool(run, spool, sessions):
    study = new_uid()
    series = new_uid()
    for number in range(70):
        keep(spool, make_slice(study, series=series, number=number))
    run()
    with sessions.begin() as session:
        for table in (Hold, Event, Job, Instance, Series, Study):
            session.execute(delete(table))
    assert run() == 70
    assert count(sessions, Study) == 1
    assert count(sessions, Instance) == 70


def cut_off(spool: Spool, dataset, share: float) -> None:
    """Leave what a receiver leaves that is killed while an instance arrives."""
    uids = str(dataset.SOPClassUID), str(dataset.SOPInstanceUID)
    file = spool.begin_instance(file_head(*uids, ExplicitVRLittleEndian, "SENDER"))
    whole = encoded(dataset)
    file.write(whole[: int(share * len(whole))])
    file._file.close()


@pytest.mark.parametrize("share", [0.9, 0.97, 1.0])
def test_what_a_killed_receiver_was_receiving_is_noted(run, spool, sessions, share):
    uid = new_uid()
    keep(spool, make_slice(uid))
    lost = make_slice(uid)
    cut_off(spool, lost, share)
    run()
    run()
    with sessions() as session:
        (absent,) = session.scalars(select(Absent)).all()
        assert absent.sop_instance_uid == lost.SOPInstanceUID
        study = session.scalars(select(Study)).one()
        assert what_is_lacking(session, study).startswith("1 instance was refused or cut off")


def test_what_is_being_received_is_not_noted(run, spool, sessions):
    whole = encoded(make_slice(new_uid()))
    head = file_head("1.2.840.10008.5.1.4.1.1.2", "1.2.3", ExplicitVRLittleEndian, "SENDER")
    file = spool.begin_instance(head)
    file.write(whole[: len(whole) // 2])
    run()
    assert count(sessions, Absent) == 0
    file.close()


def test_what_was_cut_off_before_its_study_was_known_is_only_removed(run, spool, sessions):
    cut_off(spool, make_slice(new_uid()), 0.0)
    (spool.incoming / "0").write_bytes(b"")
    for path in spool.incoming.iterdir():
        os.utime(path, (0, 0))
    run()
    assert count(sessions, Absent) == 0
    assert [path.name for path in spool.incoming.iterdir()] == ["all-known"]
