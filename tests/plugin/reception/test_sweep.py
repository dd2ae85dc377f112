"""What a killed receiver left behind: files that no row knows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydicom.uid import ExplicitVRLittleEndian
from sqlalchemy import delete, select

from plugin.reception.receiver import running_receiver
from plugin.reception.sweep import sweep
from plugin.state.completeness import Patience
from plugin.state.database import SessionFactory
from plugin.state.spool import Spool, file_head
from plugin.state.tables import Event, Hold, Instance, Job, Quarantine, Series, Study
from tests.plugin import intake_objects
from tests.plugin.intake_objects import encoded, make_slice, new_uid, store

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


def test_a_damaged_file_is_named_and_stops_nothing(run, spool, sessions, caplog):
    damaged = spool.absolute(keep(spool, make_slice(new_uid())))
    damaged.write_bytes(damaged.read_bytes()[:-9])
    keep(spool, make_slice(new_uid()))
    run()
    assert count(sessions, Instance) == 1
    assert "is damaged" in caplog.text


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
