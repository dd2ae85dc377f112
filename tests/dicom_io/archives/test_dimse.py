import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ImplicitVRLittleEndian, generate_uid
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind, Verification

from dicom_io.archives.association import Timeouts
from dicom_io.archives.dimse import Dimse
from dicom_io.archives.patients.identity import identity_of
from dicom_io.archives.proving.proof import InstanceReference, Verdict, judge
from dicom_io.errors import AssociationRejected, PeerUnreachable
from plugin.commands.demonstration.archive import running_archive
from tests.objects import PATIENT_ID, write_report
from tests.orthanc import RunningOrthanc
from tests.ports import free_port

# For peers that never answer
UNTIL_CONNECTED = Timeouts(connect_s=2)
UNTIL_ASSOCIATED = Timeouts(acse_s=0.3)
UNTIL_ANSWERED = Timeouts(dimse_s=0.3)


def archive(port: int, **options: Any) -> Dimse:
    return Dimse("127.0.0.1", port, "ARCHIVE", **options)


@contextmanager
def serving(prepare: Callable[[AE], None], **handlers: Any) -> Iterator[int]:
    ae = AE("ARCHIVE")
    prepare(ae)
    bound = [(getattr(evt, event), handler) for event, handler in handlers.items()]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=bound)
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


def storage(ae: AE) -> None:
    ae.supported_contexts = AllStoragePresentationContexts


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return write_report(tmp_path, generate_uid())


def test_what_was_stored_is_found_under_its_patient(report: Path, tmp_path: Path) -> None:
    header = dcmread(report)
    with running_archive(tmp_path / "archive") as port:
        archive(port).store(report)
        found = archive(port).find(InstanceReference.of(header))
    assert judge(found, identity_of(header)) is Verdict.PROVED


def test_what_was_never_stored_is_not_found(report: Path, tmp_path: Path) -> None:
    with running_archive(tmp_path / "archive") as port:
        found = archive(port).find(InstanceReference.of(dcmread(report)))
    assert found.instances == 0


def test_orthanc_answers_with_names_of_every_script(report: Path, orthanc: RunningOrthanc) -> None:
    header = dcmread(report)
    peer = Dimse("127.0.0.1", orthanc.dicom_port, "ORTHANC")
    peer.check()
    peer.store(report)
    found = peer.find(InstanceReference.of(header))
    assert judge(found, identity_of(header)) is Verdict.PROVED


def test_orthanc_lets_no_stranger_query(report: Path, orthanc: RunningOrthanc) -> None:
    reference = InstanceReference.of(dcmread(report))
    with pytest.raises((AssociationRejected, PeerUnreachable), match="ORTHANC"):
        Dimse("127.0.0.1", orthanc.dicom_port, "ORTHANC", "STRANGER").find(reference)


def test_a_peer_that_takes_implicit_vr_only_is_served(report: Path) -> None:
    received: list[Dataset] = []

    def implicit(ae: AE) -> None:
        ae.add_supported_context(dcmread(report).SOPClassUID, ImplicitVRLittleEndian)

    def keep(event: evt.Event) -> int:
        received.append(event.dataset)
        return 0

    with serving(implicit, EVT_C_STORE=keep) as port:
        archive(port).store(report)
    assert received[0].PatientID == PATIENT_ID


# pynetdicom leaves the socket of a refused connection to the garbage collector
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_nobody_listening_is_worth_a_retry(report: Path) -> None:
    with pytest.raises(PeerUnreachable, match="ARCHIVE does not answer"):
        archive(free_port(), timeouts=UNTIL_CONNECTED).store(report)


def test_a_silent_peer_is_given_up_after_the_timeout(report: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        with pytest.raises(PeerUnreachable):
            archive(port, timeouts=UNTIL_ASSOCIATED).check()


def test_a_peer_silent_after_the_association_is_given_up(report: Path) -> None:
    ended = threading.Event()

    def never(event: evt.Event) -> int:
        ended.wait(20)
        return 0

    with serving(storage, EVT_C_STORE=never) as port:
        try:
            with pytest.raises(PeerUnreachable, match="went silent"):
                archive(port, timeouts=UNTIL_ANSWERED).store(report)
        finally:
            ended.set()


@pytest.mark.parametrize("status", [0x0122, 0xA900, 0xC211, 0x0124])
def test_a_refused_object_is_not_worth_a_retry(report: Path, status: int) -> None:
    with (
        serving(storage, EVT_C_STORE=lambda _: status) as port,
        pytest.raises(AssociationRejected, match=f"0x{status:04X}"),
    ):
        archive(port).store(report)


@pytest.mark.parametrize("status", [0xA700, 0xA701])
def test_a_peer_out_of_resources_is_worth_a_retry(report: Path, status: int) -> None:
    with (
        serving(storage, EVT_C_STORE=lambda _: status) as port,
        pytest.raises(PeerUnreachable, match=f"0x{status:04X}"),
    ):
        archive(port).store(report)


def test_a_stored_object_with_coerced_elements_is_stored(report: Path) -> None:
    received: list[str] = []

    def coerce(event: evt.Event) -> int:
        received.append(event.request.AffectedSOPInstanceUID)
        return 0xB000

    with serving(storage, EVT_C_STORE=coerce) as port:
        archive(port).store(report)
    assert received == [dcmread(report).SOPInstanceUID]


def test_an_unknown_ae_title_is_a_rejection() -> None:
    def choosy(ae: AE) -> None:
        ae.add_supported_context(Verification)
        ae.require_calling_aet = ["SOMEBODY"]

    with (
        serving(choosy) as port,
        pytest.raises(AssociationRejected, match="rejects the association"),
    ):
        archive(port).check()


def test_a_full_peer_is_worth_a_retry() -> None:
    def full(ae: AE) -> None:
        ae.add_supported_context(Verification)
        ae.maximum_associations = 1

    with serving(full) as port:
        ae = AE()
        ae.add_requested_context(Verification)
        holder = ae.associate("127.0.0.1", port)
        try:
            with pytest.raises(PeerUnreachable):
                archive(port).check()
        finally:
            holder.release()


def test_a_peer_without_the_sop_class_is_a_rejection(report: Path) -> None:
    with (
        serving(lambda ae: ae.add_supported_context(Verification)) as port,
        pytest.raises(AssociationRejected, match="SOP class"),
    ):
        archive(port).store(report)


def test_a_failed_query_is_a_rejection(report: Path) -> None:
    def query(ae: AE) -> None:
        ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)

    def refuse(event: evt.Event) -> Iterator[tuple[int, None]]:
        yield 0xA900, None

    with serving(query, EVT_C_FIND=refuse) as port, pytest.raises(AssociationRejected):
        archive(port).find(InstanceReference.of(dcmread(report)))


def test_no_patient_reaches_the_log(
    report: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    header = dcmread(report)
    level = caplog.at_level(logging.INFO, logger="pynetdicom")  # a command may have silenced it
    with level, running_archive(tmp_path / "archive") as port:
        archive(port).store(report)
        archive(port).find(InstanceReference.of(header))
    assert "Find SCP Response" in caplog.text
    assert PATIENT_ID not in caplog.text
    assert "Müller" not in caplog.text
