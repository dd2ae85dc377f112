"""Real associations with a receiver on loopback, the database on both servers."""

from __future__ import annotations

import logging
import shutil
import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from unittest.mock import patch

import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    EnhancedCTImageStorage,
    EnhancedSRStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_STORE
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from dicom_io.archives.association import paced
from dicom_io.device import DEVICE_UID, MANUFACTURER, MODEL_NAME
from plugin.reception import receiver
from plugin.reception.instance_store import KEPT_ASIDE
from plugin.reception.receiver import Limits, is_allowed, running_receiver
from plugin.state.completeness import Patience
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool, split_file
from plugin.state.tables import Event, Hold, Instance, Job, JobState, Quarantine, Study
from tests.objects import PATIENT_ID
from tests.plugin.intake_objects import association, encoded, incoming, make_slice, new_uid, store
from tests.services import require
from tests.waiting import eventually

CT = "1.2.840.10008.5.1.4.1.1.2"
CT = "1.2.840.10008.5.1.4.1.1.2"
PATIENCE = Patience(timedelta(hours=1), timedelta(hours=2))


@pytest.fixture
def port(sessions: SessionFactory, spool: Spool) -> Iterator[int]:
    with running_receiver(sessions, spool, patience=PATIENCE) as port:
        yield port


@pytest.fixture
def instances(sessions: SessionFactory):
    def read() -> list[Instance]:
        with sessions() as session:
            return list(session.scalars(select(Instance).order_by(Instance.id)))

    return read


def events(sessions: SessionFactory) -> list[Event]:
    with sessions() as session:
        return list(session.scalars(select(Event).order_by(Event.id)))


def test_it_answers_an_echo(port):
    with association(port, sop_class="1.2.840.10008.1.1") as assoc:
        assert assoc.send_c_echo().Status == 0x0000


def test_an_acknowledged_slice_lies_in_spool_and_database(port, spool, instances):
    dataset = make_slice(new_uid())
    assert store(port, dataset) == [0x0000]
    (row,) = instances()
    kept = dcmread(spool.absolute(row.path))
    assert kept.SOPInstanceUID == row.sop_instance_uid == dataset.SOPInstanceUID
    assert kept.file_meta.SourceApplicationEntityTitle == "SENDER"


def test_the_data_set_is_kept_byte_by_byte(port, spool, instances):
    dataset = make_slice(new_uid())
    store(port, dataset)
    kept, _ = split_file(spool.absolute(instances()[0].path).read_bytes())
    assert bytes(kept) == encoded(dataset)


@pytest.mark.parametrize(
    "sop_class", [EnhancedCTImageStorage, SecondaryCaptureImageStorage, EncapsulatedPDFStorage]
)
def test_other_classes_of_a_study_are_kept(port, instances, sop_class):
    dataset = make_slice(new_uid())
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = sop_class
    assert store(port, dataset) == [0x0000]
    assert instances()[0].processed == (sop_class == EnhancedCTImageStorage)


def test_documents_alone_open_no_job(port, sessions):
    dataset = make_slice(new_uid())
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EnhancedSRStorage
    dataset.Modality = "SR"
    store(port, dataset)
    with sessions() as session:
        assert session.scalars(select(Job)).all() == []


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEGLSLossless,
        JPEG2000Lossless,
        JPEGLosslessSV1,
    ],
    ids=lambda uid: uid.name,
)
def test_every_transfer_syntax_is_accepted_and_recorded(port, instances, syntax):
    """The data set is not decoded, so the pixel data's own bytes do not matter here."""
    dataset = make_slice(new_uid())
    with association(port, syntaxes=(syntax,)) as assoc:
        assert [cx.transfer_syntax[0] for cx in assoc.accepted_contexts] == [syntax]
        if syntax.is_encapsulated:
            dataset["PixelData"].VR = "OB"
            dataset.PixelData = encapsulate([bytes(32)])
            dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax
        if syntax in (ExplicitVRBigEndian, ImplicitVRLittleEndian):
            dataset = _reencoded(dataset, syntax)
        assert assoc.send_c_store(dataset).Status == 0x0000
    assert instances()[0].transfer_syntax_uid == syntax


def _reencoded(dataset, syntax) -> Dataset:
    buffer = BytesIO()
    dataset.file_meta.TransferSyntaxUID = syntax
    dcmwrite(
        buffer,
        dataset,
        implicit_vr=syntax.is_implicit_VR,
        little_endian=syntax.is_little_endian,
        force_encoding=True,
    )
    buffer.seek(0)
    return dcmread(buffer)


@pytest.mark.parametrize(
    ("folder", "option"),
    [
        ("compressed_jpeg", "--propose-lossless"),
        ("compressed_jpegls", "--propose-jls-lossless"),
        ("compressed_j2k", "--propose-j2k-lossless"),
        ("compressed_rle", "--propose-rle"),
    ],
)
def test_storescu_sends_compressed_slices_that_lie_unchanged_in_the_spool(
    port, spool, instances, cases, folder, option
):
    require(Path("/usr/bin/storescu").exists(), "DCMTK's storescu")
    files = [p for p in (cases / "compressed" / folder).rglob("*") if p.is_file()]
    command = ["/usr/bin/storescu", option, "-aec", "CTSCRIBE", "127.0.0.1", str(port)]
    subprocess.run([*command, *map(str, files)], check=True, timeout=60, capture_output=True)
    sources = {one.SOPInstanceUID: one for one in map(dcmread, files)}
    assert len(instances()) == len(sources) == len(files)
    for row in instances():
        source = sources[row.sop_instance_uid]
        assert row.transfer_syntax_uid == source.file_meta.TransferSyntaxUID
        assert dcmread(spool.absolute(row.path)).PixelData == source.PixelData


def test_a_duplicate_is_acknowledged_and_changes_nothing(port, instances, sessions, spool):
    dataset = make_slice(new_uid())
    assert store(port, dataset, dataset) == [0x0000, 0x0000]
    assert store(port, dataset) == [0x0000]
    assert len(instances()) == 1
    assert len(list(spool.instance_paths())) == 1
    assert [event.kind for event in events(sessions)] == ["received"]


def test_other_bytes_under_a_known_uid_are_kept_aside(port, instances, sessions, spool):
    dataset = make_slice(new_uid())
    store(port, dataset)
    dataset.InstanceNumber = 99
    assert store(port, dataset) == [KEPT_ASIDE]
    assert len(instances()) == 1
    with sessions() as session:
        (aside,) = session.scalars(select(Quarantine)).all()
    assert dcmread(spool.absolute(aside.path)).InstanceNumber == 99
    assert [event.kind for event in events(sessions)] == ["received", "came again"]
    assert aside.verdict == "waiting"


def test_another_transfer_syntax_is_kept_to_be_compared(port, sessions):
    dataset = make_slice(new_uid())
    store(port, dataset)
    with association(port, syntaxes=(ImplicitVRLittleEndian,)) as assoc:
        again = _reencoded(dataset, ImplicitVRLittleEndian)
        assert assoc.send_c_store(again).Status == KEPT_ASIDE
    assert "compared before the next draft" in events(sessions)[-1].message


def lines(caplog) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name.startswith("plugin")]


def test_a_refused_object_leaves_one_line_with_sender_reason_and_uid(port, caplog):
    dataset = make_slice(new_uid())
    del dataset.StudyInstanceUID
    with association(port, calling="MODALITY") as assoc:
        assert assoc.send_c_store(dataset).Status == 0xA900
    (line,) = eventually(lambda: lines(caplog))
    uid = dataset.SOPInstanceUID
    assert line == (
        f"instance {uid} from MODALITY at 127.0.0.1 is refused: "
        "StudyInstanceUID is absent or not a UID"
    )


def test_refused_contexts_leave_one_line_with_sender_reason_and_uid(port, caplog):
    ae = AE("MODALITY")
    ae.add_requested_context(CT, "1.2.840.10008.1.2.4.100")
    ae.add_requested_context("1.2.3.4")
    assoc = paced(ae.associate("127.0.0.1", port))
    assert not assoc.accepted_contexts
    (line,) = eventually(lambda: lines(caplog))
    assert line == (
        "MODALITY at 127.0.0.1: 2 contexts are refused: 1.2.3.4 (no storage class that we know), "
        f"{CT} (no transfer syntax of ours)"
    )


def test_our_own_reports_are_kept_and_not_processed(port, instances, sessions):
    dataset = make_slice(new_uid())
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EnhancedSRStorage
    dataset.Modality, dataset.DeviceUID = "SR", DEVICE_UID
    dataset.Manufacturer, dataset.ManufacturerModelName = MANUFACTURER, MODEL_NAME
    assert store(port, dataset) == [0x0000]
    assert not instances()[0].processed
    with sessions() as session:
        assert session.scalars(select(Job)).all() == []


def test_a_command_that_announces_another_instance_is_refused(port, instances):
    dataset = make_slice(new_uid())
    with association(port) as assoc:
        request = C_STORE()
        request.MessageID = 1
        request.AffectedSOPClassUID = dataset.SOPClassUID
        request.AffectedSOPInstanceUID = new_uid()
        request.Priority = 2
        request.DataSet = BytesIO(encoded(dataset))
        assoc._reactor_checkpoint.clear()
        assoc.dimse.send_msg(request, assoc.accepted_contexts[0].context_id)
        _, response = assoc.dimse.get_msg(block=True)
        assoc._reactor_checkpoint.set()
    assert response.Status == 0xA900
    assert instances() == []


def test_an_instance_without_a_study_is_refused(port, instances):
    dataset = make_slice(new_uid())
    del dataset.StudyInstanceUID
    assert store(port, dataset) == [0xA900]
    assert instances() == []


def test_a_uid_that_is_a_path_is_refused(port, instances, spool):
    dataset = make_slice(new_uid())
    dataset["StudyInstanceUID"]._value = "../../etc"
    assert store(port, dataset) == [0xA900]
    assert list(spool.instance_paths()) == []


def test_a_truncated_data_set_is_refused(port, instances):
    dataset = make_slice(new_uid())
    with association(port) as assoc:
        whole = encoded(dataset)
        with patch("pynetdicom.association.encode", lambda *_, **__: whole[:-7]):
            assert assoc.send_c_store(dataset).Status == 0xC000
    assert instances() == []


def test_a_full_spool_refuses_with_an_event_and_takes_on_again(sessions, tmp_path):
    spool = Spool(tmp_path / "small", floor_bytes=2**62)
    dataset = make_slice(new_uid())
    with running_receiver(sessions, spool, patience=PATIENCE) as port:
        assert store(port, dataset) == [0xA700]
        (event,) = events(sessions)
        assert (event.kind, event.level) == ("refused", "alert")
        spool.floor_bytes = 0
        assert store(port, dataset) == [0x0000]


def test_a_database_that_fails_refuses_and_the_slice_is_taken_next_time(
    port, sessions, monkeypatch, instances
):
    def fails(*_, **__):
        raise OperationalError("", {}, Exception("disk I/O error"))

    dataset = make_slice(new_uid())
    with monkeypatch.context() as broken:
        broken.setattr("plugin.reception.committer.record_durably", fails)
        assert store(port, dataset) == [0xA700]
    assert store(port, dataset) == [0x0000]
    assert len(instances()) == 1


def test_an_unforeseen_fault_refuses_and_the_receiver_lives_on(port, monkeypatch, instances):
    def fails(*_, **__):
        raise ValueError("ACC-1")

    dataset = make_slice(new_uid())
    with monkeypatch.context() as broken:
        broken.setattr("plugin.reception.committer.record_durably", fails)
        assert store(port, dataset) == [0xA700]
    assert store(port, dataset) == [0x0000]
    assert len(instances()) == 1


def test_a_nul_in_the_accession_number_stops_nothing(port, sessions):
    dataset = make_slice(new_uid())
    dataset.AccessionNumber = "A\0B"
    assert store(port, dataset) == [0x0000]
    with sessions() as session:
        assert session.scalars(select(Study.accession_number)).all() == ["AB"]


def test_an_open_association_holds_its_study_and_its_end_lets_go(port, sessions):
    def holds() -> int:
        with sessions() as session:
            return len(session.scalars(select(Hold)).all())

    with association(port) as assoc:
        assoc.send_c_store(make_slice(new_uid()))
        assert holds() == 1
    assert eventually(lambda: holds() == 0)


def test_an_aborted_association_lets_go_too(port, sessions):
    with association(port) as assoc:
        assoc.send_c_store(make_slice(new_uid()))
        assoc.abort()

    def holds() -> int:
        with sessions() as session:
            return len(session.scalars(select(Hold)).all())

    assert eventually(lambda: holds() == 0)


def test_the_second_ae_title_asks_for_a_new_draft(port, sessions):
    dataset = make_slice(new_uid())
    store(port, dataset)
    with sessions.begin() as session:
        session.scalars(select(Job)).one().state = JobState.DONE
    assert store(port, dataset) == [0x0000]
    assert store(port, dataset, called="CTSCRIBE_AGAIN") == [0x0000]
    with sessions() as session:
        jobs = session.scalars(select(Job).order_by(Job.revision)).all()
        assert [(job.state, job.forced) for job in jobs] == [("done", False), ("pending", True)]


@pytest.mark.parametrize(
    ("title", "address", "allowed"),
    [
        ("ANY", "127.0.0.1", True),
        ("ANY", "::1", True),
        ("MODALITY", "10.1.2.3", True),
        ("MODALITY ", "10.1.2.3", True),
        ("MODALITY", "10.1.3.3", False),
        ("OTHER", "10.1.2.3", False),
        ("PACS", "192.168.0.9", True),
        ("PACS", "192.168.0.8", False),
        ("ANY", "::ffff:127.0.0.1", True),  # as a socket that listens on :: names IPv4 peers
        ("PACS", "::ffff:192.168.0.9", True),
        ("PACS", "::ffff:192.168.0.8", False),
        ("GATE", "fe80::1%eth0", True),
    ],
)
def test_beyond_loopback_title_and_address_must_be_listed(title, address, allowed):
    peers = [("MODALITY", "10.1.2.0/24"), ("PACS", "192.168.0.9"), ("GATE", "fe80::/64")]
    assert is_allowed(title, address, peers) == allowed


def test_it_listens_on_every_address_of_both_kinds(sessions, spool, instances):
    with running_receiver(sessions, spool, patience=PATIENCE, host="::") as port:
        assert store(port, make_slice(new_uid())) == [0x0000]  # to 127.0.0.1
    assert len(instances()) == 1


def test_a_deflated_object_that_grows_beyond_all_measure_is_refused(port, instances, spool):
    dataset = make_slice(new_uid())
    dataset.PixelData = bytes(2**27)
    with association(port, syntaxes=(DeflatedExplicitVRLittleEndian,)) as assoc:
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        assert assoc.send_c_store(dataset).Status == 0xC000
    assert instances() == []
    assert incoming(spool) == []


def test_a_peer_that_is_not_listed_is_rejected(port, monkeypatch):
    monkeypatch.setattr(receiver, "is_allowed", lambda *_: False)
    with association(port) as assoc:
        assert assoc.is_rejected


def test_unknown_abstract_syntaxes_are_refused_and_the_rest_accepted(port):
    ae = AE("SENDER")
    ae.add_requested_context("1.2.840.10008.5.1.4.1.1.2")
    ae.add_requested_context("1.2.840.10008.5.1.4.1.2.2.1")  # Query/Retrieve FIND
    assoc = paced(ae.associate("127.0.0.1", port))
    assert [cx.abstract_syntax for cx in assoc.accepted_contexts] == ["1.2.840.10008.5.1.4.1.1.2"]
    assoc.release()


def accepted(port: int) -> bool:
    with association(port) as assoc:
        return bool(assoc.is_established)


def test_one_association_more_than_allowed_is_refused_and_the_others_go_on(sessions, spool):
    limits = Limits(maximum_associations=2)
    with running_receiver(sessions, spool, patience=PATIENCE, limits=limits) as port:
        with association(port) as first, association(port) as second:
            with association(port) as third:
                assert third.is_rejected
            assert first.send_c_store(make_slice(new_uid())).Status == 0
            assert second.send_c_store(make_slice(new_uid())).Status == 0
        assert eventually(lambda: accepted(port))


def test_no_log_line_and_no_event_names_the_patient(port, sessions, caplog):
    caplog.set_level(logging.DEBUG)
    dataset = make_slice(new_uid())
    dataset.AccessionNumber = "ACC-SECRET"
    dataset.PatientBirthDate = "19470811"
    store(port, dataset)
    dataset.InstanceNumber = 2
    store(port, dataset)
    del dataset.SeriesInstanceUID
    store(port, dataset)
    ours = [r for r in caplog.records if r.name.startswith(("plugin", "dicom_io"))]
    told = " ".join([r.getMessage() for r in ours] + [e.message for e in events(sessions)])
    assert "came again" in told
    for secret in (PATIENT_ID, "Müller", "山田", "ACC-SECRET", "19470811"):
        assert secret not in told


def test_a_stopped_receiver_leaves_no_thread_behind(sessions, spool):
    before = set(threading.enumerate())
    with running_receiver(sessions, spool, patience=PATIENCE) as port:
        store(port, make_slice(new_uid()))
    assert eventually(lambda: set(threading.enumerate()) <= before)


def test_a_study_is_one_row_whatever_order_its_slices_come_in(port, sessions):
    study, first, second = new_uid(), new_uid(), new_uid()
    slices = [make_slice(study, series=s, number=n) for n in range(3) for s in (first, second)]
    assert store(port, *slices) == [0] * 6
    with sessions() as session:
        (row,) = session.scalars(select(Study)).all()
        assert len(row.series) == 2
        assert [job.state for job in row.jobs] == ["pending"]


def test_the_spool_may_vanish_and_come_back(port, spool):
    instances, hidden = spool.root / "instances", spool.root / "hidden"
    shutil.move(instances, hidden)
    dataset = make_slice(new_uid())
    assert store(port, dataset) == [0xA700]
    shutil.move(hidden, instances)
    assert store(port, dataset) == [0x0000]
