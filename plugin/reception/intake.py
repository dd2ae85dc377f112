"""What an arrived instance changes: its study, its series, and the job that waits for the study.

All of it in the transaction whose commit allows the acknowledgement.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from pydicom.uid import (
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    XRayRadiationDoseSRStorage,
)
from sqlalchemy import BindParameter, CursorResult, bindparam, insert, select
from sqlalchemy.orm import Session

from plugin.reception.header import Header
from plugin.state import audit
from plugin.state.audit import Action, Entry, Subject, Who
from plugin.state.completeness import Patience, end_wait, hold_study, open_or_move_job
from plugin.state.kinds import Kind
from plugin.state.prepared import Prepared
from plugin.state.studies import lock_or_add_study
from plugin.state.tables import (
    Draft,
    Instance,
    Level,
    Quarantine,
    Series,
    Verdict,
)
from plugin.state.timeline import add_event_once

# PS3.4 B.5: no scanner's image. All SR classes are 1.2.840.10008.5.1.4.1.1.88.*, all presentation
# states .11.*, all multi-frame secondary captures .7.*, all encapsulated documents .104.*
_STORAGE = "1.2.840.10008.5.1.4.1.1"
_DOCUMENT_ROOTS = tuple(f"{_STORAGE}.{n}." for n in (7, 11, 66, 88, 104))
_DOCUMENTS = frozenset(
    (
        SecondaryCaptureImageStorage,
        SegmentationStorage,
        KeyObjectSelectionDocumentStorage,
        GrayscaleSoftcopyPresentationStateStorage,
        MultiFrameTrueColorSecondaryCaptureImageStorage,
        XRayRadiationDoseSRStorage,
        EncapsulatedPDFStorage,
    )
)

_OUTDATED = (
    "instances came again as they were before a correction: not read; send the study to "
    "CTSCRIBE_AGAIN if that is right"
)


@dataclass(frozen=True)
class Arrival:
    """An instance that lies complete and fsynced in the spool."""

    header: Header
    transfer_syntax_uid: str
    path: str
    size: int
    sha256: str
    association: str | None = None
    redraft: bool = False
    announced: int | None = None
    sender: str | None = None
    address: str | None = None

    @property
    def processed(self) -> bool:
        """Whether the model may see it."""
        return not self.header.own and not is_document(self.header.sop_class_uid)


@dataclass
class Cache:
    """Rows that a receiver knows to stand in the database, so that it need not ask again."""

    series: dict[tuple[int, str], int] = field(default_factory=dict)
    holds: set[tuple[int, str]] = field(default_factory=set)

    def clear(self) -> None:
        self.series.clear()
        self.holds.clear()

    def forget(self, associations: Iterable[str]) -> None:
        """Forget ended associations, and the series of studies that nobody is sending."""
        ended = set(associations)
        self.holds = {hold for hold in self.holds if hold[1] not in ended}
        if not self.holds:
            self.series.clear()


class Outcome(Enum):
    """What became of an arrival."""

    NEW = "new"
    KNOWN = "known"
    QUARANTINED = "quarantined"


def is_document(sop_class_uid: str) -> bool:
    """Tell reports, secondary captures, presentation states and segmentations from images."""
    return sop_class_uid in _DOCUMENTS or sop_class_uid.startswith(_DOCUMENT_ROOTS)


def record(
    session: Session,
    arrivals: Sequence[Arrival],
    *,
    patience: Patience,
    now: datetime,
    cache: Cache | None = None,
) -> list[Outcome]:
    """Write arrivals into the caller's transaction; return what became of each.

    Idempotent: recording an arrival again changes nothing but when something of the study came
    last.

    Parameters
    ----------
    session : Session
        The caller's transaction.
    arrivals : sequence of Arrival
        Of any studies.
    patience : Patience
        How long more of a study is waited for.
    now : datetime
        The moment, in UTC.
    cache : Cache, optional
        What is added to it is true only once the transaction is committed: clear it if that fails.
    """
    cache = Cache() if cache is None else cache
    by_study: dict[str, list[Arrival]] = defaultdict(list)
    for arrival in arrivals:
        by_study[arrival.header.study_instance_uid].append(arrival)
    outcomes: dict[int, Outcome] = {}
    # In one order everywhere: two receivers that lock studies in different orders would deadlock
    studies = {
        uid: lock_or_add_study(session, uid, first.header.accession_number, now, first.sender)
        for uid in sorted(by_study)
        for first in by_study[uid][:1]
    }
    known = _known(session, arrivals)
    for uid, (study_id, quiet_s) in studies.items():
        own = by_study[uid]
        for arrival in own:
            outcomes[id(arrival)] = _compare(known, arrival)
        new = [arrival for arrival in own if outcomes[id(arrival)] is Outcome.NEW]
        others = [arrival for arrival in own if outcomes[id(arrival)] is Outcome.QUARANTINED]
        _add_instances(session, study_id, new, now, cache)
        compared = _set_aside(session, study_id, others, now)
        _wait(session, study_id, own, new, patience.after(quiet_s), now, compared=compared)
        _hold(session, study_id, own, now, cache)
    return [outcomes[id(arrival)] for arrival in arrivals]


def _known(session: Session, arrivals: Sequence[Arrival]) -> dict[str, str]:
    """SHA-256 of the data sets that instances have, by SOP Instance UID."""
    uids = [arrival.header.sop_instance_uid for arrival in arrivals]
    rows: CursorResult[Any]
    if len(uids) == 1:  # a list is written into the statement anew each time
        rows = _KNOWN_ONE.execute(session.connection(), {"uid": uids[0]})
    else:
        rows = session.connection().execute(_KNOWN, {"uids": uids})
    return {row.sop_instance_uid: row.sha256 for row in rows}


def _compare(known: dict[str, str], arrival: Arrival) -> Outcome:
    uid = arrival.header.sop_instance_uid
    if uid not in known:
        known[uid] = arrival.sha256
        return Outcome.NEW
    return Outcome.KNOWN if known[uid] == arrival.sha256 else Outcome.QUARANTINED


def _add_instances(
    session: Session, study_id: int, new: list[Arrival], now: datetime, cache: Cache
) -> None:
    if not new:
        return
    series_ids = _series_ids(session, study_id, new, cache)
    own_drafts = _own_drafts(session, new)
    for arrival in new:
        row = row_of(arrival, study_id, series_ids[arrival.header.series_instance_uid], now)
        row["processed"] &= arrival.header.sop_instance_uid not in own_drafts
        _ADD.execute(session.connection(), row)


def row_of(arrival: Arrival, study_id: int, series_id: int, now: datetime) -> dict[str, Any]:
    """Return what the table of instances says of an arrival.

    Parameters
    ----------
    arrival : Arrival
        What came.
    study_id, series_id : int
        Keys of its rows.
    now : datetime
        When it came.
    """
    return {
        "study_id": study_id,
        "series_id": series_id,
        "sop_instance_uid": arrival.header.sop_instance_uid,
        "sop_class_uid": arrival.header.sop_class_uid,
        "transfer_syntax_uid": arrival.transfer_syntax_uid,
        "path": arrival.path,
        "size": arrival.size,
        "sha256": arrival.sha256,
        "processed": arrival.processed,
        "received_at": now,
    }


def _series_ids(
    session: Session, study_id: int, new: list[Arrival], cache: Cache
) -> dict[str, int]:
    wanted = {arrival.header.series_instance_uid: arrival.header.modality for arrival in new}
    if any((study_id, uid) not in cache.series for uid in wanted):
        rows = session.execute(
            select(Series.series_instance_uid, Series.id).where(
                Series.study_id == study_id, Series.series_instance_uid.in_(list(wanted))
            )
        )
        cache.series.update({(study_id, uid): id_ for uid, id_ in rows})
    for uid, modality in wanted.items():
        if (study_id, uid) not in cache.series:
            series = Series(study_id=study_id, series_instance_uid=uid, modality=modality)
            session.add(series)
            session.flush()
            cache.series[study_id, uid] = series.id
    return {uid: cache.series[study_id, uid] for uid in wanted}


def _own_drafts(session: Session, new: list[Arrival]) -> set[str]:
    """Return which of the reports that arrived this service wrote; no other object can be one."""
    uids = [arrival.header.sop_instance_uid for arrival in new if not arrival.processed]
    if not uids:
        return set()
    return set(
        session.scalars(select(Draft.sop_instance_uid).where(Draft.sop_instance_uid.in_(uids)))
    )


def _set_aside(session: Session, study_id: int, others: list[Arrival], now: datetime) -> bool:
    """Keep other bytes of known instances, to be compared before the next draft; whether any is."""
    compared = outdated = False
    for arrival in others:
        verdict = Verdict.ASKED if arrival.redraft else Verdict.WAITING
        uid = arrival.header.sop_instance_uid
        known = session.scalar(
            select(Quarantine).where(
                Quarantine.sop_instance_uid == uid, Quarantine.sha256 == arrival.sha256
            )
        )
        if known is not None:
            known.path = arrival.path  # the same, unless it was deleted since
        if known is not None and verdict is Verdict.WAITING:
            # A state that was compared, or replaced, comes back only on request
            outdated = outdated or known.verdict == Verdict.REPLACED
            continue
        if known is not None:
            known.verdict = verdict
        else:
            session.add(_aside(study_id, arrival, verdict, now))
            session.flush()
        compared = compared or arrival.processed
    if compared:
        message = "instances came again with other bytes: compared before the next draft"
        level = Level.INFO
        add_event_once(session, Kind.CAME_AGAIN, message, now=now, study_id=study_id, level=level)
    if outdated:
        level = Level.WARNING
        add_event_once(session, Kind.OUTDATED, _OUTDATED, now=now, study_id=study_id, level=level)
    return compared


def _aside(study_id: int, arrival: Arrival, verdict: Verdict, now: datetime) -> Quarantine:
    return Quarantine(
        study_id=study_id,
        sop_instance_uid=arrival.header.sop_instance_uid,
        sha256=arrival.sha256,
        path=arrival.path,
        verdict=verdict,
        received_at=now,
    )


def _wait(
    session: Session,
    study_id: int,
    all_of_study: list[Arrival],
    new: list[Arrival],
    patience: Patience,
    now: datetime,
    *,
    compared: bool,
) -> None:
    """Open the study's job, or move its deadline, if anything arrived that the model reads."""
    redraft = any(arrival.redraft and arrival.processed for arrival in all_of_study)
    if redraft or compared or any(arrival.processed for arrival in new):
        open_or_move_job(session, study_id, patience=patience, now=now, forced=redraft)
    announced = [arrival.announced for arrival in all_of_study if arrival.announced]
    if announced:
        end_wait(session, study_id, max(announced), now)


def _hold(
    session: Session, study_id: int, arrivals: list[Arrival], now: datetime, cache: Cache
) -> None:
    first_of = {a.association: a for a in reversed(arrivals) if a.association is not None}
    for association, arrival in sorted(first_of.items()):
        if (study_id, association) in cache.holds:
            continue
        hold_study(session, study_id, association, now, _sender(arrival))
        cache.holds.add((study_id, association))
        _audit(session, arrival, now)


def _sender(arrival: Arrival) -> Who | None:
    if arrival.association is None or arrival.address is None:
        return None
    return Who(kind="node", name=arrival.sender or "", address=arrival.address)


def _audit(session: Session, arrival: Arrival, now: datetime) -> None:
    """Tell who begins to send a study, and whether for a new draft."""
    sender = _sender(arrival)
    if sender is None:
        return
    header = arrival.header
    study = Subject(
        study_instance_uid=header.study_instance_uid,
        accession_number=header.accession_number,
        patient_id=header.patient_id,
    )
    for action in (Action.RECEIVING, *((Action.ASKED,) if arrival.redraft else ())):
        audit.record(session, Entry(action=action, who=sender, study=study), now=now)


# The statements of every group, built once: building one takes longer than the database does
_INSTANCES = Instance.metadata.tables["instances"]
_UIDS: BindParameter[Any] = bindparam("uids", expanding=True)
_DIGESTS = select(_INSTANCES.c.sop_instance_uid, _INSTANCES.c.sha256)
_KNOWN = _DIGESTS.where(_INSTANCES.c.sop_instance_uid.in_(_UIDS))
_KNOWN_ONE = Prepared(_DIGESTS.where(_INSTANCES.c.sop_instance_uid == bindparam("uid")))
_WRITTEN = [one.name for one in _INSTANCES.c if not one.primary_key]
_ADD = Prepared(insert(_INSTANCES).inline(), _WRITTEN)
ADD_UNLESS_KNOWN = Prepared(insert(_INSTANCES).inline(), _WRITTEN, " ON CONFLICT DO NOTHING")
"""Write a row of `row_of`; it counts no row where the instance is known."""
