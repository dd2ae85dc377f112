"""STOW-RS (PS3.18 10.5): instances are stored exactly as the receiver stores them.

A request is what an association is elsewhere: while it is open its studies are not complete, and
each instance is acknowledged only after fsync and commit, or refused with a reason of its own.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dicom_io.archives.multipart import parts
from dicom_io.counted import counted
from dicom_io.errors import CtscribeError, NotRetrieved
from plugin.reception.association.pdata import C_STORE_RQ, Command
from plugin.reception.committer import Committer
from plugin.reception.dimse_status import CANNOT_UNDERSTAND, SUCCESS, dimse_status
from plugin.reception.instance_store import InstanceStore
from plugin.reception.receiver import STORAGE_CLASSES, TRANSFER_SYNTAXES
from plugin.state.audit import Who
from plugin.state.completeness import Patience
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.web.dicomweb.metadata import ROOT
from plugin.web.dicomweb.part10 import FileMeta, split
from plugin.web.dicomweb.problems import Refused

LOGGER = logging.getLogger(__name__)
# PS3.18 table I.2-2
CLASS_NOT_SUPPORTED = 0x0122
SYNTAX_NOT_SUPPORTED = 0xC122
# PS3.4 B.2.3, table I.2-1: kept, with a warning
_WARNINGS = 0xB000


@dataclass(frozen=True)
class Stored:
    """What became of one part of a request."""

    status: int
    meta: FileMeta | None = None

    @property
    def is_kept(self) -> bool:
        return self.status == SUCCESS or self.is_warned

    @property
    def is_warned(self) -> bool:
        return self.status & 0xF000 == _WARNINGS


class Storing:
    """What stores the instances of requests; one for each process.

    Parameters
    ----------
    sessions, spool
        Where instances are recorded, and where they lie.
    patience : Patience
        How long more of a study is waited for.
    """

    def __init__(self, sessions: SessionFactory, spool: Spool, patience: Patience) -> None:
        self._spool = spool
        self._lock = threading.Lock()
        self._open: set[str] = set()
        self._committer = Committer(sessions, patience=patience, open_associations=self._names)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Store for the length of a `with` block."""
        self._committer.start()
        try:
            yield
        finally:
            self._committer.stop()

    def store(
        self, body: Iterable[bytes], content_type: str, sender: Who, study: str | None = None
    ) -> list[Stored]:
        """Store every instance of a body; return what became of each.

        Parameters
        ----------
        body : iterable of bytes
            As it arrives.
        content_type : str
            Its header: multipart/related, or application/dicom for one instance.
        sender : Who
            Who asks, from where.
        study : str, optional
            The StudyInstanceUID that all must have.

        Raises
        ------
        Refused
            The body ends too early; what came before is stored.
        """
        with self._request() as name:
            found = []
            try:
                for part in _files(body, content_type):
                    found.append(self._store(part, name, sender, study))
            except NotRetrieved as error:
                kept = sum(one.is_kept for one in found)
                stored = counted(kept, "instance is", "instances are")
                raise Refused(400, "bad-body", f"{error}; {stored} stored") from error
            return found

    @contextmanager
    def _request(self) -> Iterator[str]:
        """Hold the studies of a request, for as long as it is open."""
        name = f"stow-{uuid.uuid4().hex}"
        with self._lock:
            self._open.add(name)
        try:
            yield name
        finally:
            with self._lock:
                self._open.discard(name)
            self._committer.association_ended(name)

    def _names(self) -> Sequence[str]:
        with self._lock:
            return tuple(self._open)

    def _store(self, file: Iterator[bytes], name: str, sender: Who, study: str | None) -> Stored:
        try:
            meta, begun = split(file)
        except NotRetrieved:
            raise
        except CtscribeError as error:
            LOGGER.warning("a part of a STOW-RS request from %s is refused: %s", sender, error)
            return Stored(dimse_status(error))
        if meta.sop_class_uid not in STORAGE_CLASSES:
            return Stored(CLASS_NOT_SUPPORTED, meta)
        if meta.transfer_syntax_uid not in TRANSFER_SYNTAXES:
            return Stored(SYNTAX_NOT_SUPPORTED, meta)
        command = Command(0, C_STORE_RQ, True, 0, meta.sop_class_uid, meta.sop_instance_uid)
        store = InstanceStore(
            self._spool,
            self._committer,
            command,
            transfer_syntax_uid=meta.transfer_syntax_uid,
            association=name,
            source_ae_title=sender.name[:16],
            address=sender.address,
            redraft=False,
            study=study,
        )
        try:
            store.write(memoryview(begun))
            for piece in file:
                store.write(memoryview(piece))
            return Stored(store.finish(), meta)
        finally:
            store.discard()


def _files(body: Iterable[bytes], content_type: str) -> Iterator[Iterator[bytes]]:
    if content_type.partition(";")[0].strip().lower() == "application/dicom":
        return iter([iter(body)])
    return parts(body, content_type)


def answer(stored: Sequence[Stored], study: str | None) -> tuple[int, dict[str, Any]]:
    """Return status and DICOM JSON of a response (PS3.18 10.5.3 and table I.1-1).

    Parameters
    ----------
    stored : sequence of Stored
        What became of the parts.
    study : str, optional
        The study that the address named.
    """
    kept = [_reference(one) for one in stored if one.is_kept]
    failed = [_reference(one) for one in stored if not one.is_kept and one.meta]
    # PS3.18 table I.1-1, Other Failures Sequence: parts that tell no UID
    others = [_reason(one.status) for one in stored if not one.meta]
    found: dict[str, Any] = {}
    if study is not None:
        found["00081190"] = {"vr": "UR", "Value": [f"{ROOT}/studies/{study}"]}
    for tag, items in (("00081199", kept), ("00081198", failed), ("0008119A", others)):
        if items:
            found[tag] = {"vr": "SQ", "Value": items}
    if not kept:
        return 409, found
    return (202 if failed or others or any(one.is_warned for one in stored) else 200), found


def _reference(one: Stored) -> dict[str, Any]:
    assert one.meta is not None
    uids = {"00081150": one.meta.sop_class_uid, "00081155": one.meta.sop_instance_uid}
    found: dict[str, Any] = {tag: {"vr": "UI", "Value": [uid]} for tag, uid in uids.items()}
    if one.is_warned:
        found["00081196"] = {"vr": "US", "Value": [one.status]}
    elif not one.is_kept:
        found.update(_reason(one.status))
    return found


def _reason(status: int) -> dict[str, Any]:
    return {"00081197": {"vr": "US", "Value": [status or CANNOT_UNDERSTAND]}}
