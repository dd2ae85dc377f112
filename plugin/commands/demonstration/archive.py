"""The smallest PACS: keeps what it is sent in a folder and finds it again, for demo and tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pynetdicom import AE, AllStoragePresentationContexts, evt

from plugin.reception.dimse_status import SUCCESS

PENDING = 0xFF00  # PS3.4 C.4.1.1.4: a match, more may follow
VERIFICATION = "1.2.840.10008.1.1"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"


@contextmanager
def running_archive(folder: Path, *, ae_title: str = "ARCHIVE", port: int = 0) -> Iterator[int]:
    """Run an archive on loopback for the length of a `with` block.

    Parameters
    ----------
    folder : Path
        Where the received instances are kept, one file each, named by SOP Instance UID.
    ae_title : str
        Its AE title.
    port : int
        TCP port; 0 takes a free one.

    Yields
    ------
    int
        The port it listens on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ae = AE(ae_title)
    ae.supported_contexts = AllStoragePresentationContexts
    ae.add_supported_context(VERIFICATION)
    ae.add_supported_context(STUDY_ROOT_FIND)
    handlers: list[Any] = [(evt.EVT_C_STORE, _keep, [folder]), (evt.EVT_C_FIND, _find, [folder])]
    server: Any = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


def _keep(event: Any, folder: Path) -> int:
    uid = event.request.AffectedSOPInstanceUID
    path = folder / f"{uid}.dcm"
    path.write_bytes(event.encoded_dataset())
    return SUCCESS


def _find(event: Any, folder: Path) -> Iterator[tuple[int, Dataset | None]]:
    """Answer a query with the instances whose UIDs it names (PS3.4 C.4.1)."""
    query = event.identifier
    for path in sorted(folder.glob("*.dcm")):
        kept = dcmread(path, stop_before_pixels=True)
        if all(query.get(key, "") in ("", kept.get(key)) for key in _UNIQUE_KEYS):
            answer = Dataset()
            for element in query:
                if element.tag in kept:
                    answer.add(kept[element.tag])
            answer.QueryRetrieveLevel = query.QueryRetrieveLevel
            yield PENDING, answer


_UNIQUE_KEYS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
