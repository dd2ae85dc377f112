"""A C-STORE request on its way into spool and database (PS3.4 annex B)."""

from __future__ import annotations

import logging

from dicom_io.cleaned import cleaned
from dicom_io.errors import CtscribeError, DataSetMismatch, StoreFull
from plugin.reception.association.pdata import Command
from plugin.reception.committer import Committer
from plugin.reception.dimse_status import SUCCESS, dimse_status
from plugin.reception.header import Header, read_beginning, read_header, study_of, valid_uid
from plugin.reception.intake import Arrival, Outcome, is_document
from plugin.state.files.incoming import LONGEST_BEGINNING, IncomingFile, refusals
from plugin.state.files.spool import Spool, file_head
from plugin.state.kept.refusals import TURNED_AWAY
from plugin.state.kinds import Kind
from plugin.state.tally import TALLY, Counted

LOGGER = logging.getLogger(__name__)
# PS3.4 B.2.3, warning: kept, but aside; the first instance under this UID stays the valid one
KEPT_ASIDE = 0xB000


class InstanceStore:
    """Streams the data set into the spool, then has it committed.

    A refusal is the answer to the whole object: what still arrives of it is dropped.

    Parameters
    ----------
    spool, committer
        Where the instance lies, and what records it.
    request : Command
        The C-STORE request.
    transfer_syntax_uid : str
        How the data set is encoded.
    association, source_ae_title, address : str
        The association's name, and who sends from where.
    redraft : bool
        Whether the peer asks for a new draft even of a known instance.
    study : str, optional
        The one StudyInstanceUID that is taken.
    """

    def __init__(
        self,
        spool: Spool,
        committer: Committer,
        request: Command,
        *,
        transfer_syntax_uid: str,
        association: str,
        source_ae_title: str,
        address: str,
        redraft: bool,
        study: str | None = None,
    ) -> None:
        self._spool = spool
        self._committer = committer
        self._request = request
        self._transfer_syntax_uid = transfer_syntax_uid
        self._association = association
        self._sender_ae_title = source_ae_title
        self._sender = f"{source_ae_title} at {address}"
        self._address = address
        self._redraft = redraft
        self._study = study
        self._ended = False
        self._head = bytearray()
        self._file: IncomingFile | None = None
        self._refusal: CtscribeError | None = None
        uids = request.sop_class_uid, request.sop_instance_uid
        try:
            self._file = spool.begin_instance(
                file_head(*uids, transfer_syntax_uid, source_ae_title)
            )
        except StoreFull as error:
            self._refusal = error

    def write(self, data: memoryview) -> None:
        """Take the next part of the data set."""
        if self._file is None:
            self._head += data[: LONGEST_BEGINNING - len(self._head)]
            return
        try:
            self._file.write(data)
        except StoreFull as error:
            self._refusal = error
            self._head = self._beginning()
            self._close()

    def finish(self) -> int:
        """Make the instance durable; return the status of PS3.4 B.2.3."""
        self._ended = True
        try:
            with self._committer.expecting():
                arrival = self._keep()
            outcome = self._committer.commit(arrival)
        except CtscribeError as error:
            return self._refuse(error)
        finally:
            self._close()
        self._spool.recorded(arrival.path)
        TALLY.count(Counted.INSTANCES, outcome=outcome.value)
        TALLY.count(Counted.BYTES, arrival.size)
        return KEPT_ASIDE if outcome is Outcome.QUARANTINED else SUCCESS

    def discard(self) -> None:
        """Leave nothing behind but the knowledge that the instance is absent."""
        if not self._ended:
            self._ended = True
            LOGGER.warning("%s from %s was cut off", self._announced, self._sender)
            TALLY.count(Counted.REFUSALS, reason="CutOff")
            TURNED_AWAY.note(self._sender_ae_title, self._address, "CutOff")
            self._note_absent()
        self._close()

    @property
    def _announced(self) -> str:
        uid = self._request.sop_instance_uid
        return f"instance {uid}" if valid_uid(uid) else "an instance without a UID"

    def _refuse(self, error: CtscribeError) -> int:
        TALLY.count(Counted.REFUSALS, reason=type(error).__name__)
        TURNED_AWAY.note(self._sender_ae_title, self._address, type(error).__name__)
        # A full disk refuses every slice of every study: one line a minute says so
        if not isinstance(error, StoreFull) or self._committer.alert(Kind.REFUSED, error):
            LOGGER.warning("%s from %s is refused: %s", self._announced, self._sender, error)
        self._note_absent()
        return dimse_status(error)

    def _note_absent(self) -> None:
        if is_document(self._request.sop_class_uid):
            return  # no draft lacks it
        study = study_of(bytes(self._beginning()), self._transfer_syntax_uid)
        if study is not None and valid_uid(self._request.sop_instance_uid):
            self._committer.note_absent(study, self._request.sop_instance_uid)

    def _beginning(self) -> bytearray:
        """The first bytes of the data set, kept or refused."""
        return self._head if self._file is None else self._file.beginning

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _keep(self) -> Arrival:
        if self._file is None:
            raise self._refusal or StoreFull("the spool takes no instance")
        header = self._read_header(self._file)
        _require_announced(self._request, header)
        if self._study not in (None, header.study_instance_uid):
            raise DataSetMismatch("it belongs to another study than the request")
        path = self._spool.keep_instance(
            self._file, header.study_instance_uid, header.sop_instance_uid
        )
        return Arrival(
            header=header,
            transfer_syntax_uid=self._transfer_syntax_uid,
            path=path,
            size=self._file.size,
            sha256=self._file.digest,
            association=self._association,
            redraft=self._redraft,
            announced=self._request.announced,
            sender=cleaned(self._sender_ae_title)[:16] or None,
            address=self._address,
        )

    def _read_header(self, file: IncomingFile) -> Header:
        syntax = self._transfer_syntax_uid
        with refusals():
            return read_beginning(file.beginning, file.data_size, syntax) or read_header(
                file.data_set(), syntax, self._spool.incoming
            )


def _require_announced(request: Command, header: Header) -> None:
    if (request.sop_class_uid, request.sop_instance_uid) != (
        header.sop_class_uid,
        header.sop_instance_uid,
    ):
        raise DataSetMismatch(f"its data set is {header.sop_instance_uid} or of another class")
