"""Nothing in the spool stays unknown, nothing half-written stays at all.

An instance whose process was killed between fsync and commit was not acknowledged, and its sender
may send it again or may not. It is registered like any other; sent again, it is known.

Such a file still has its link in `incoming`, so a sweep costs what was left behind, not what the
spool holds. One that was cut off lies in `incoming` itself, and makes its study incomplete. Every
file is looked at only where the database or the spool was put back: then the database knows no
instance, or the spool has lost its mark with the rest of `incoming`.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import islice

from pydicom import dcmread
from pydicom.filereader import read_file_meta_info
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from dicom_io.cleaned import cleaned
from dicom_io.errors import CtscribeError
from plugin.reception.committer import LARGEST_GROUP, record_durably
from plugin.reception.header import read_header, study_of, valid_uid
from plugin.reception.intake import Arrival, Cache, is_document
from plugin.state.background import in_background
from plugin.state.clock import now_of
from plugin.state.completeness import Patience
from plugin.state.database import SessionFactory, reason_of
from plugin.state.files.spool import Spool, digest_of, split_file
from plugin.state.kept.absent import note_absent
from plugin.state.kept.beside import paths_beside_file
from plugin.state.kinds import Kind
from plugin.state.tables import Draft, Final, Instance, Level, Quarantine
from plugin.state.timeline import add_event

LOGGER = logging.getLogger(__name__)
# Leftovers are few and cost only space: no need to look more often
PAUSE_S = 600.0
# A row follows its file by milliseconds, or as long as a database may be busy
_INSTANCE_S, _DRAFT_S = 60.0, 3600.0


def sweep(sessions: SessionFactory, spool: Spool, *, patience: Patience) -> int:
    """Register every instance file that the database does not know; return how many.

    Parameters
    ----------
    sessions, spool
        The service's database and spool.
    patience : Patience
        How long more of a study is waited for.
    """
    spool.remove_leftovers(lambda start: _note_cut_off(sessions, start, patience))
    everything = not (spool.all_known and _knows_any(sessions))
    unrecorded = spool.unrecorded()
    named = (path for path in unrecorded if path.startswith("instances/"))
    paths = spool.instance_paths() if everything else named
    found = sum(_register(sessions, spool, group, patience) for group in _groups(paths))
    _look_after_drafts(sessions, spool, [one for one in unrecorded if one.startswith("drafts/")])
    spool.set_all_known()
    if found:
        LOGGER.warning("%d instances in the spool were not in the database", found)
    return found


@contextmanager
def sweeping(
    sessions: SessionFactory, spool: Spool, *, patience: Patience, pause_s: float = PAUSE_S
) -> Iterator[None]:
    """Sweep now, and from time to time for the length of a `with` block.

    Parameters
    ----------
    sessions, spool
        The service's database and spool.
    patience : Patience
        How long more of a study is waited for.
    pause_s : float
        Between two sweeps.
    """
    sweep(sessions, spool, patience=patience)

    def again(ended: threading.Event) -> None:
        while not ended.wait(pause_s):
            try:
                sweep(sessions, spool, patience=patience)
            except DBAPIError as error:
                LOGGER.warning("the spool could not be swept: %s", reason_of(error))
            except OSError as error:
                LOGGER.warning("the spool could not be swept: %s", error.strerror)

    with in_background(("sweep", again)):
        yield


def _note_cut_off(sessions: SessionFactory, start: bytes, patience: Patience) -> None:
    """Remember what was being received when its receiver was killed: the file itself tells."""
    try:
        dataset, begins = split_file(start)
        meta = dcmread(BytesIO(start[:begins]), force=True).file_meta
        uid, syntax = str(meta.MediaStorageSOPInstanceUID), str(meta.TransferSyntaxUID)
        is_image = not is_document(str(meta.MediaStorageSOPClassUID))
    except Exception:  # noqa: BLE001  cut off within its first bytes, or not ours
        return
    study = study_of(dataset, syntax)
    if study is not None and valid_uid(uid) and is_image:
        LOGGER.warning("instance %s was cut off: its receiver was killed", uid)
        with sessions.begin() as session:
            note_absent(session, study, uid, patience, now_of(session))


def _knows_any(sessions: SessionFactory) -> bool:
    with sessions() as session:
        return session.scalar(select(Instance.id).limit(1)) is not None


def _groups(paths: Iterable[str]) -> Iterator[list[str]]:
    """Yield so many at a time that neither memory nor a transaction grows with the spool."""
    rest = iter(paths)
    while group := list(islice(rest, LARGEST_GROUP)):
        yield group


def _register(sessions: SessionFactory, spool: Spool, paths: list[str], patience: Patience) -> int:
    """Record those of some files that the database does not know; return how many."""
    with sessions() as session:
        known = set(session.scalars(select(Instance.path).where(Instance.path.in_(paths))))
        known.update(session.scalars(select(Quarantine.path).where(Quarantine.path.in_(paths))))
    unknown = [path for path in paths if path not in known]
    arrivals = [one for path in unknown if (one := _read(sessions, spool, path)) is not None]
    if arrivals:
        spool.sync_folders(arrival.path for arrival in arrivals)
        record_durably(sessions, arrivals, patience=patience, cache=Cache())
    for path in (*known, *(arrival.path for arrival in arrivals)):
        spool.recorded(path)
    return len(arrivals)


def _read(sessions: SessionFactory, spool: Spool, relative: str) -> Arrival | None:
    path = spool.absolute(relative)
    if not os.path.lexists(path):  # not named yet, or never
        if spool.is_old(relative, _INSTANCE_S):
            spool.recorded(relative)
        return None
    try:
        data = path.read_bytes()
        dataset, _ = split_file(data)
        meta = read_file_meta_info(path)
        syntax = str(meta.TransferSyntaxUID)
        header = read_header(dataset, syntax, spool.incoming)
    except CtscribeError as error:
        _set_aside(sessions, spool, relative, str(error))
        return None
    except Exception as error:  # noqa: BLE001  whatever lies there, the receiver starts
        _set_aside(sessions, spool, relative, f"no DICOM file ({type(error).__name__})")
        return None
    return Arrival(
        header=header,
        transfer_syntax_uid=syntax,
        path=relative,
        size=len(data),
        sha256=digest_of(dataset),
        sender=cleaned(str(meta.get("SourceApplicationEntityTitle") or ""))[:16] or None,
    )


def _set_aside(sessions: SessionFactory, spool: Spool, relative: str, reason: str) -> None:
    """Move it out of the way, and say so."""
    where = spool.set_aside(relative)
    message = f"{relative} in the spool is damaged: {reason}; it lies in {where} now"
    with sessions.begin() as session:
        add_event(session, Kind.DAMAGED, message, now=now_of(session), level=Level.ALERT)


def _look_after_drafts(sessions: SessionFactory, spool: Spool, paths: list[str]) -> None:
    """Remove the reports of workers that died before they recorded them."""
    with sessions() as session:
        known = {
            path
            for column in (Draft.path, Draft.retraction_path, Final.path)
            for path in session.scalars(select(column).where(column.in_(paths)))
        }
    for path in paths:
        if path in known:
            spool.recorded(path)
        elif spool.is_old(path, _DRAFT_S):
            spool.discard_draft(path, paths_beside_file(path))
