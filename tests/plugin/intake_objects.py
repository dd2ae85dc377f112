"""Small CT instances, and senders of them, for the tests of the service."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, build_context
from pynetdicom.association import Association

from dicom_io.archives.association import paced
from plugin.state.files.spool import Spool
from tests.objects import write_slice


def make_slice(study: str, *, series: str | None = None, number: int = 1) -> Dataset:
    """One CT slice of 4 × 4 pixels in memory."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        dataset = dcmread(write_slice(Path(folder), study, series=series))
        dataset.PixelData  # noqa: B018  read it before the file goes
    dataset.InstanceNumber = number
    dataset.AccessionNumber = "ACC-1"
    return dataset


def encoded(dataset: Dataset) -> bytes:
    """The data set alone, as it travels."""
    buffer = BytesIO()
    bare = Dataset()
    bare.update(dataset)
    bare.save_as(buffer, implicit_vr=False, little_endian=True)
    return buffer.getvalue()


def keep(spool: Spool, study: str, sop_instance: str, data: bytes, head: bytes = b"") -> str:
    """Write an instance into the spool as the receiver does before it commits."""
    with closing(spool.begin_instance(head)) as file:
        file.write(data)
        return spool.keep_instance(file, study, sop_instance)


def incoming(spool: Spool) -> list[Path]:
    """What is being received, or was left behind: all but the mark of a sweep."""
    return [path for path in (spool.root / "incoming").iterdir() if path.name != "all-known"]


def new_uid() -> str:
    return str(generate_uid())


@contextmanager
def association(
    port: int,
    *,
    called: str = "CTSCRIBE",
    calling: str = "SENDER",
    sop_class: str = CTImageStorage,
    syntaxes: tuple[str, ...] = (ExplicitVRLittleEndian,),
) -> Iterator[Association]:
    """An association with a receiver on loopback."""
    ae = AE(calling)
    contexts = [build_context(sop_class, list(syntaxes))]
    assoc = paced(ae.associate("127.0.0.1", port, contexts=contexts, ae_title=called))
    try:
        yield assoc
    finally:
        if assoc.is_established:
            assoc.release()


def store(port: int, *datasets: Dataset, called: str = "CTSCRIBE") -> list[int]:
    """Send data sets in one association; return the statuses."""
    with association(port, called=called, sop_class=str(datasets[0].SOPClassUID)) as assoc:
        assert assoc.is_established
        return [int(assoc.send_c_store(dataset).Status) for dataset in datasets]


def raw_store_begin(assoc: Association, dataset: Dataset | None = None) -> None:
    """Send the command and half the data set of a C-STORE, as a peer that dies does."""
    data = bytes(500) if dataset is None else encoded(dataset)[:-10]
    dataset = dataset or make_slice(new_uid())
    command = b"".join(
        struct.pack("<HHL", 0, element, len(value)) + value
        for element, value in (
            (0x0002, b"1.2.840.10008.5.1.4.1.1.2\0"),
            (0x0100, b"\x01\x00"),
            (0x0110, b"\x01\x00"),
            (0x0700, b"\x00\x00"),
            (0x0800, b"\x00\x00"),
            (0x1000, str(dataset.SOPInstanceUID).encode().ljust(64, b"\0")),
        )
    )
    command = struct.pack("<HHLL", 0, 0, 4, len(command)) + command
    context = bytes([assoc.accepted_contexts[0].context_id])
    pdvs = (context + b"\x03" + command, context + b"\x00" + data)
    for pdv in pdvs:
        item = struct.pack(">L", len(pdv)) + pdv
        assoc.dul.socket.socket.sendall(b"\x04\x00" + struct.pack(">L", len(item)) + item)
