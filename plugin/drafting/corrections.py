"""What came again under a known SOP Instance UID: corrected, the same, or another image.

A hospital corrects studies every day: a patient is identified, an accession number mended, a
damaged slice repaired, and the archive sends the study again. The newer bytes then take the place
of the older ones, which stay in quarantine. Two images under one UID are told by their places: the
first stays, the other one is set aside.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from pydicom import Dataset, dcmread
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicom_io.cleaned import cleaned
from dicom_io.errors import DicomError
from dicom_io.slices.difference import Difference, difference
from dicom_io.slices.read import read_instance
from plugin.drafting.jobs import Claim, paths_of, set_own
from plugin.drafting.retraction import Retraction, prepare_retraction, retract
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.kept.absent import what_is_lacking
from plugin.state.kept.listings import forget_listing
from plugin.state.kept.pruned import latest_pruning
from plugin.state.kinds import Kind
from plugin.state.studies import lock_study
from plugin.state.tables import Draft, Instance, Level, Quarantine, Series, Study, Verdict
from plugin.state.timeline import add_event
from reporting.patient import FILED_BY, IDENTITY, settle_identity

# What a draft says or is made of, beside patient, study and pixels
_MATERIAL = {
    *IDENTITY,
    *("SeriesInstanceUID", "SeriesDescription", "SeriesNumber", "InstanceNumber", "ImageType"),
    *("BodyPartExamined", "ProcedureCodeSequence", "RequestedProcedureDescription", "Modality"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "PixelPaddingValue", "PatientPosition"),
    *("KVP", "ConvolutionKernel", "ContrastBolusAgent", "AcquisitionNumber", "FrameOfReferenceUID"),
    *("Rows", "Columns", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
}


@dataclass(frozen=True)
class _Again:
    """An object that came again, and what it turned out to be."""

    row_id: int
    sop_instance_uid: str
    path: str
    verdict: Verdict
    found: Difference

    @property
    def is_newer(self) -> bool:
        return self.verdict is Verdict.REPLACED

    @property
    def is_material(self) -> bool:
        """Whether a draft of the newer bytes differs from one of the older."""
        return self.is_newer and (self.found.pixels or bool(self.found.keywords & _MATERIAL))


def settle_corrections(
    sessions: SessionFactory,
    spool: Spool,
    claim: Claim,
    *,
    rejection_notes: Sequence[str],
    now: datetime,
) -> Claim:
    """Compare what came again, and return the claim as it is afterwards.

    Parameters
    ----------
    sessions, spool
        The service's database and spool.
    claim : Claim
        The job, just begun.
    rejection_notes : sequence of str
        Names of the destinations that take rejection notes.
    now : datetime
        The moment, in UTC.

    Raises
    ------
    LeaseLost
        Another worker has the job; nothing is changed.
    StoreFull
        The disk takes no rejection note.
    """
    with sessions() as session:
        waiting = _waiting(session, claim.study_id)
        anew = bool(claim.paths and latest_pruning(session, claim.study_id))
    if waiting or anew:
        settled = _judged(spool, waiting)
        note = _retraction(sessions, spool, claim, settled, anew=anew)
        material = note is not None or any(one.is_material for one in settled)
        claim = replace(claim, forced=claim.forced or material)
        with sessions.begin() as session:
            study = lock_study(session, claim.study_id)
            set_own(session, claim, forced=claim.forced)
            _apply_all(session, spool, study, settled, now)
            if anew:
                study.accession_number = _accession(spool.absolute(claim.paths[-1]))
            if note is not None:
                retract(session, study, note, rejection_notes, now)
        if note is not None:
            claim = _with_retracted(claim, note)
            spool.recorded(note.path)
    _forget_found_again(sessions, spool, claim)
    with sessions() as session:
        study = session.get_one(Study, claim.study_id)
        lacking = what_is_lacking(session, study)
        incomplete = "; ".join(filter(None, (claim.incomplete, lacking))) or None
        return replace(claim, paths=paths_of(session, study.id), incomplete=incomplete)


def _with_retracted(claim: Claim, note: Retraction) -> Claim:
    before = claim.predecessor
    if before is None or before.id != note.draft_id:
        return claim
    return replace(claim, predecessor=replace(before, retracted=True))


_Row = tuple[int, str, str, str, str]
"""Id, UID, path and verdict of a row of the quarantine, and the path that the instance has."""


def _waiting(session: Session, study_id: int) -> Sequence[_Row]:
    rows = session.execute(
        select(
            Quarantine.id,
            Quarantine.sop_instance_uid,
            Quarantine.path,
            Quarantine.verdict,
            Instance.path,
        )
        .join(Instance, Instance.sop_instance_uid == Quarantine.sop_instance_uid)
        .where(Quarantine.study_id == study_id)
        .where(Quarantine.verdict.in_((Verdict.WAITING, Verdict.ASKED)))
        .order_by(Quarantine.id)
    )
    return list(rows)


def _judged(spool: Spool, waiting: Sequence[_Row]) -> list[_Again]:
    """Compare each with what its instance has by then: several may have come again."""
    settled: list[_Again] = []
    latest: dict[str, str] = {}
    for row_id, uid, path, asked, first in waiting:
        found = difference(spool.absolute(latest.get(uid, first)), spool.absolute(path))
        verdict = _verdict(found, asked=asked == Verdict.ASKED)
        if verdict is Verdict.REPLACED:
            latest[uid] = path
        settled.append(_Again(row_id, uid, path, verdict, found))
    return settled


def _verdict(found: Difference, *, asked: bool) -> Verdict:
    if found.is_none:
        return Verdict.SAME
    if found.damaged or "StudyInstanceUID" in found.keywords:
        return Verdict.ASIDE
    return Verdict.ASIDE if found.other_image and not asked else Verdict.REPLACED


def _apply_all(
    session: Session, spool: Spool, study: Study, settled: Sequence[_Again], now: datetime
) -> None:
    for one in settled:
        _apply(session, spool, study, one)
    if any(one.is_newer for one in settled):
        forget_listing(session, study.id)
    _tell(session, study, settled, now)


def _apply(session: Session, spool: Spool, study: Study, one: _Again) -> None:
    row = session.get_one(Quarantine, one.row_id)
    row.verdict = one.verdict
    if not one.is_newer:
        return
    instance = session.scalars(
        select(Instance).where(Instance.sop_instance_uid == one.sop_instance_uid)
    ).one()
    path = spool.absolute(one.path)
    header = dcmread(path, stop_before_pixels=True, force=True)
    row.path, instance.path = instance.path, row.path
    row.sha256, instance.sha256 = instance.sha256, row.sha256
    instance.size = path.stat().st_size
    instance.transfer_syntax_uid = str(header.file_meta.TransferSyntaxUID)
    instance.series_id = _series_id(session, study, header)
    study.accession_number = _accession(path)


def _accession(path: Path) -> str | None:
    header = dcmread(path, specific_tags=["AccessionNumber"], force=True)
    return cleaned(_text(header, "AccessionNumber"))[:64] or None


def _series_id(session: Session, study: Study, header: Dataset) -> int:
    uid = str(header.SeriesInstanceUID)
    known = select(Series).where(Series.study_id == study.id, Series.series_instance_uid == uid)
    series = session.scalar(known)
    if series is None:
        modality = cleaned(_text(header, "Modality"))[:16] or None
        series = Series(study_id=study.id, series_instance_uid=uid, modality=modality)
        session.add(series)
        session.flush()
    return series.id


def _forget_found_again(sessions: SessionFactory, spool: Spool, claim: Claim) -> None:
    """An image that was set aside lacks no more once it came under a UID of its own."""
    with sessions() as session:
        of_study = Quarantine.study_id == claim.study_id
        rows = select(Quarantine).where(of_study, Quarantine.verdict == Verdict.ASIDE)
        aside = session.scalars(rows.order_by(Quarantine.id)).all()
        if not aside:
            return
        later = session.scalars(
            select(Instance.path)
            .where(Instance.study_id == claim.study_id, Instance.processed)
            .where(Instance.received_at > aside[0].received_at)
        ).all()
    at_place = {_place(spool.absolute(path)): path for path in later}
    found = [
        row.id
        for row in aside
        if (path := at_place.get(_place(spool.absolute(row.path))))
        and _is_same_image(spool.absolute(path), spool.absolute(row.path))
    ]
    with sessions.begin() as session:
        changed = update(Quarantine).where(Quarantine.id.in_(found)).values(verdict=Verdict.SAME)
        session.execute(changed)


def _place(path: Path) -> tuple[str, str] | None:
    try:
        header = read_instance(path).header
    except DicomError:
        return None
    return _text(header, "InstanceNumber"), _text(header, "ImagePositionPatient")


def _is_same_image(one: Path, other: Path) -> bool:
    found = difference(one, other)
    same = not (found.pixels or found.other_image or found.damaged)
    return same and not found.keywords & _MATERIAL


def _text(header: Dataset, keyword: str) -> str:
    return str(header.get(keyword) or "").replace("\0", "").strip()


def _tell(session: Session, study: Study, settled: Sequence[_Again], now: datetime) -> None:
    """One event of each kind, however many slices came again."""
    counts = Counter(one.verdict for one in settled)

    def tell(verdict: Verdict, what: str, level: Level) -> None:
        if counts[verdict]:
            several = "instance" if counts[verdict] == 1 else "instances"
            message = f"{counts[verdict]} {several} {what}"
            add_event(session, Kind.COMPARED, message, now=now, study_id=study.id, level=level)

    tell(Verdict.SAME, "came again in other bytes with the same content", Level.INFO)
    changed = sorted({word for one in settled if one.is_newer for word in _shown(one.found)})
    newer = f"came again with other {', '.join(changed)}: the newer bytes are read from now on"
    tell(Verdict.REPLACED, newer, Level.WARNING)
    aside = "set aside: another image, or a damaged one, under a SOP Instance UID that is taken"
    tell(Verdict.ASIDE, aside, Level.ALERT)


def _shown(found: Difference) -> list[str]:
    """What differs, without what a draft does not depend on, unless there is nothing else."""
    pixels = ["pixels"] if found.pixels else []
    return [*sorted(found.keywords & _MATERIAL), *pixels] or sorted(found.keywords)[:3]


def _retraction(
    sessions: SessionFactory,
    spool: Spool,
    claim: Claim,
    settled: Sequence[_Again],
    *,
    anew: bool,
) -> Retraction | None:
    """Prepare to take back the current draft if it is filed under what was corrected.

    Or if its images were deleted, and came anew under another patient or number.
    """
    refiled = [one for one in settled if one.is_newer and one.found.keywords & set(FILED_BY)]
    changed = {word for one in refiled for word in one.found.keywords & set(FILED_BY)}
    if not (refiled or anew):
        return None
    newest = spool.absolute(refiled[-1].path if refiled else claim.paths[-1])
    changed = changed or _filed_otherwise(sessions, spool, claim.study_id, newest)
    if not changed:
        return None
    return prepare_retraction(sessions, spool, claim.study_id, newest, changed)


def _filed_otherwise(
    sessions: SessionFactory, spool: Spool, study_id: int, newest: Path
) -> set[str]:
    """Compare an image with the draft itself: those that the draft was made of may be deleted."""
    current = select(Draft.path).where(Draft.study_id == study_id, Draft.is_current)
    with sessions() as session:
        path = session.scalar(current.where(Draft.retraction_path.is_(None), Draft.path != ""))
    if path is None:
        return set()
    draft = dcmread(spool.absolute(path), stop_before_pixels=True)
    header = dcmread(newest, stop_before_pixels=True, force=True)
    try:
        settle_identity(header)
    except DicomError:  # there will be no draft of it
        return set()
    return {word for word in FILED_BY if _text(draft, word) != _text(header, word)}
