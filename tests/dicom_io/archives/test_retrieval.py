import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import RLELossless, generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from dicom_io.archives.association import UNCOMPRESSED
from dicom_io.archives.dimse import Dimse
from dicom_io.archives.retrieval import REFUSED, Listener
from dicom_io.errors import AssociationRejected, NotRetrieved, PeerUnreachable, SopClassRefused
from tests.ct import ct_slice
from tests.ports import free_port

STUDY = "1.2.826.0.1.3680043.8.498.5"
SERIES = f"{STUDY}.1"
MODELS = (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)


def image(number: int, **attributes: Any) -> Dataset:
    named = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES, **attributes}
    return ct_slice(
        np.zeros((16, 16)), (0, 0, number), number=number, SOPInstanceUID=generate_uid(), **named
    )


@contextmanager
def pacs(
    images: list[Dataset],
    *,
    held: int | None = None,
    final: int | None = None,
    syntax: Any = UNCOMPRESSED,
    move_to: int | None = None,
    models: Sequence[Any] = MODELS,
) -> Iterator[Dimse]:
    """A PACS of one series that says it holds `held` images, and ends with status `final`."""

    def find(event: Any) -> Iterator[tuple[int, Dataset | None]]:
        answer = Dataset()
        answer.QueryRetrieveLevel = event.identifier.QueryRetrieveLevel
        answer.StudyInstanceUID, answer.SeriesInstanceUID = STUDY, SERIES
        answer.Modality = "CT"
        answer.NumberOfSeriesRelatedInstances = len(images) if held is None else held
        yield 0xFF00, answer

    def get(event: Any) -> Iterator[Any]:
        if final is not None:
            yield 1
            yield final, Dataset()
            return
        yield len(images)
        for one in images:
            yield 0xFF00, one

    def move(event: Any) -> Iterator[Any]:
        yield "127.0.0.1", move_to
        yield from get(event)

    ae = AE("PACS")
    for model in models:
        ae.add_supported_context(model)
    ae.add_supported_context(CTImageStorage, syntax, scu_role=True, scp_role=True)
    ae.add_requested_context(CTImageStorage, syntax)
    handlers = [(evt.EVT_C_FIND, find), (evt.EVT_C_GET, get), (evt.EVT_C_MOVE, move)]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    listener = Listener("127.0.0.1", move_to) if move_to else None
    try:
        yield Dimse("127.0.0.1", server.server_address[1], "PACS", "CTSCRIBE", listener)
    finally:
        server.shutdown()


def received(folder: Path) -> set[str]:
    return {str(dcmread(path).SOPInstanceUID) for path in folder.iterdir()}


@pytest.mark.parametrize("move", [False, True])
def test_what_the_archive_holds_is_got(tmp_path, move):
    images = [image(number) for number in range(3)]
    with pacs(images, move_to=free_port() if move else None) as archive:
        archive.fetch(STUDY, tmp_path)
    assert received(tmp_path) == {str(one.SOPInstanceUID) for one in images}
    assert {path.name for path in tmp_path.iterdir()} == {f"00000{n}.dcm" for n in range(3)}


def test_an_archive_without_c_get_is_told_from_one_that_fails(tmp_path):
    finds = [StudyRootQueryRetrieveInformationModelFind]
    with pacs([image(1)], models=finds) as archive, pytest.raises(SopClassRefused, match="C-GET"):
        archive.fetch(STUDY, tmp_path)


def test_compressed_images_come_as_they_are(tmp_path):
    with pacs([image(1, transfer_syntax=RLELossless)], syntax=[RLELossless]) as archive:
        archive.fetch(STUDY, tmp_path)
    (path,) = tmp_path.iterdir()
    assert dcmread(path).file_meta.TransferSyntaxUID == RLELossless


@pytest.mark.parametrize("move", [False, True])
def test_less_than_the_archive_says_is_not_retrieved(tmp_path, move):
    held = pacs([image(1)], held=2, move_to=free_port() if move else None)
    with held as archive, pytest.raises(NotRetrieved, match="1 of 2 instances"):
        archive.fetch(STUDY, tmp_path)


@pytest.mark.parametrize("move", [False, True])
def test_an_object_of_another_study_is_refused(tmp_path, move):
    assert REFUSED == 0x0124
    images = [image(1), image(2, StudyInstanceUID="1.2.3")]
    held = pacs(images, move_to=free_port() if move else None)
    with held as archive, pytest.raises(NotRetrieved, match="failed to send 1"):
        archive.fetch(STUDY, tmp_path)
    assert received(tmp_path) == {str(images[0].SOPInstanceUID)}


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (0xA702, NotRetrieved),
        (0xC001, NotRetrieved),
        (0xA701, PeerUnreachable),
        (0x0122, AssociationRejected),
    ],
)
def test_a_status_says_whether_the_study_or_the_archive_is_at_fault(tmp_path, status, error):
    with pacs([], held=1, final=status) as archive, pytest.raises(error, match=f"{status:04X}"):
        archive.fetch(STUDY, tmp_path)


def test_a_port_that_is_taken_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pacs([image(1)], move_to=port) as archive,
            pytest.raises(PeerUnreachable, match="port"),
        ):
            archive.fetch(STUDY, tmp_path)
