"""QIDO-RS (PS3.18 10.6): studies, series and instances by their attributes.

The database knows UIDs, accession numbers and modalities. All else stands in the headers; that of
one instance for each study and series is read when it is first asked for, and kept in memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydicom.datadict import dictionary_VR
from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from plugin.state.tables import Instance, Series, Study
from plugin.web.dicomweb.archive import Archive, Kept
from plugin.web.dicomweb.matching import matches
from plugin.web.dicomweb.metadata import AVAILABLE_SYNTAX, ROOT, header_json, tag_of
from plugin.web.dicomweb.query import Query

Attributes = dict[str, Any]
# A header is about 8 KB of JSON, and that of every study is needed again by the next search
_KEPT_HEADERS = 10_000
_BATCH = 200  # rows that are read ahead of the headers


def _tags(*keywords: str) -> frozenset[str]:
    return frozenset(filter(None, map(tag_of, keywords)))


# PS3.18 tables 10.6.3-3 to 10.6.3-5: what is told without being asked for
_STUDY = _tags(
    *("StudyDate", "StudyTime", "AccessionNumber", "InstanceAvailability", "ModalitiesInStudy"),
    *("ReferringPhysicianName", "TimezoneOffsetFromUTC", "RetrieveURL", "StudyDescription"),
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
    *("StudyInstanceUID", "StudyID", "NumberOfStudyRelatedSeries"),
    *("NumberOfStudyRelatedInstances", "SpecificCharacterSet"),
)
_SERIES = _tags(
    *("SpecificCharacterSet", "Modality", "TimezoneOffsetFromUTC", "SeriesDescription"),
    *("RetrieveURL", "SeriesInstanceUID", "StudyInstanceUID", "SeriesNumber", "SeriesDate"),
    *("SeriesTime", "NumberOfSeriesRelatedInstances", "PerformedProcedureStepStartDate"),
    *("PerformedProcedureStepStartTime", "RequestAttributesSequence", "BodyPartExamined"),
)
_INSTANCE = _tags(
    *("SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "InstanceAvailability"),
    *("TimezoneOffsetFromUTC", "RetrieveURL", "InstanceNumber", "Rows", "Columns"),
    *("BitsAllocated", "NumberOfFrames", "StudyInstanceUID", "SeriesInstanceUID"),
) | {AVAILABLE_SYNTAX}


@dataclass(frozen=True)
class _Level:
    told: frozenset[str]
    key: InstrumentedAttribute[int]
    uid: str


_LEVELS = {
    "studies": _Level(_STUDY, Study.id, "0020000D"),
    "series": _Level(_SERIES, Series.id, "0020000E"),
    "instances": _Level(_INSTANCE, Instance.id, "00080018"),
}
# What the database can choose by
_COLUMNS: dict[str, InstrumentedAttribute[Any]] = {
    "0020000D": Study.study_instance_uid,
    "0020000E": Series.series_instance_uid,
    "00080018": Instance.sop_instance_uid,
    "00080016": Instance.sop_class_uid,
    "00080050": Study.accession_number,
}


@dataclass(frozen=True)
class Found:
    """A page of a search, and whether there are more."""

    rows: list[Attributes]
    more: bool


def search(archive: Archive, level: str, query: Query, **uids: str | None) -> Found:
    """Search studies, series or instances, the newest first.

    Parameters
    ----------
    archive : Archive
        What is searched.
    level : str
        "studies", "series" or "instances".
    query : Query
        Of the request.
    **uids : str or None
        StudyInstanceUID, SeriesInstanceUID: what the address of the request narrows it to.
    """
    narrow = {tag_of(name) or "": uid for name, uid in uids.items() if uid is not None}
    wanted = {**query.wanted, **narrow}
    told = _told(level, narrow)
    rows: list[Attributes] = []
    skipped = 0
    for attributes in _candidates(archive, level, wanted):
        if not matches(attributes, wanted):
            continue
        if skipped < query.offset:
            skipped += 1
        elif len(rows) == query.limit:
            return Found(rows, more=True)
        else:
            rows.append(_chosen(attributes, told, query))
    return Found(rows, more=False)


def _told(level: str, narrow: Mapping[str, str]) -> frozenset[str]:
    """A level's own attributes, and those of the levels above that the address does not name."""
    told = _LEVELS[level].told
    if level != "studies" and "0020000D" not in narrow:
        told |= _STUDY
    if level == "instances" and "0020000E" not in narrow:
        told |= _SERIES
    return told


def _chosen(attributes: Attributes, told: frozenset[str], query: Query) -> Attributes:
    if query.every_field:
        return {tag: one for tag, one in attributes.items() if "BulkDataURI" not in one}
    chosen = told | query.fields | query.wanted.keys()
    found = {tag: one for tag, one in attributes.items() if tag in chosen}
    # PS3.18 10.6.3.3: what was asked for and has no value is there, empty
    absent = (chosen - found.keys()) & (query.fields | query.wanted.keys())
    return {**found, **{tag: {"vr": dictionary_VR(int(tag, 16))} for tag in sorted(absent)}}


def _candidates(archive: Archive, level: str, wanted: Mapping[str, str]) -> Iterator[Attributes]:
    """Yield the attributes of all that the database cannot rule out."""
    key, last = _LEVELS[level].key, None
    while True:
        with archive.sessions() as session:
            query = _rows(level, wanted).order_by(key.desc()).limit(_BATCH)
            rows = session.execute(query if last is None else query.where(key < last)).all()
            counted = _modalities(session, [row.study_id for row in rows])
        for row in rows:
            yield _attributes(archive, level, row, counted)
        if len(rows) < _BATCH:
            return
        last = rows[-1].key


def _rows(level: str, wanted: Mapping[str, str]) -> Select[Any]:
    key = _LEVELS[level].key
    first = (
        select(
            key.label("key"),
            func.min(Instance.id).label("first"),
            func.count(Instance.id).label("instances"),
        )
        .join(Series, Series.id == Instance.series_id)
        .join(Study, Study.id == Instance.study_id)
        .where(*_conditions(wanted))
        .group_by(key)
        .subquery()
    )
    return (
        select(
            first,
            Instance,
            Series.series_instance_uid,
            Series.modality,
            Study.id.label("study_id"),
            Study.study_instance_uid,
        )
        .join_from(first, Instance, Instance.id == first.c.first)
        .join(Series, Series.id == Instance.series_id)
        .join(Study, Study.id == Instance.study_id)
    )


def _conditions(wanted: Mapping[str, str]) -> Iterator[ColumnElement[bool]]:
    for tag, column in _COLUMNS.items():
        value = wanted.get(tag, "")
        if value and not any(sign in value for sign in "*?\\,"):
            yield column == value


def _modalities(session: Session, study_ids: list[int]) -> dict[int, tuple[set[str], int, int]]:
    """Return modalities, number of series and of instances of some studies."""
    query = (
        select(Series.study_id, Series.modality, func.count(Instance.id))
        .join(Instance, Instance.series_id == Series.id)
        .where(Series.study_id.in_(set(study_ids)))
        .group_by(Series.id, Series.study_id, Series.modality)
    )
    found: dict[int, tuple[set[str], int, int]] = {}
    for study_id, modality, instances in session.execute(query):
        names, series, number = found.get(study_id, (set(), 0, 0))
        names = names | {modality} if modality else names
        found[study_id] = names, series + 1, number + instances
    return found


def _attributes(
    archive: Archive, level: str, row: Any, counted: Mapping[int, tuple[set[str], int, int]]
) -> Attributes:
    kept = archive.kept(row.Instance, row.series_instance_uid, row.study_instance_uid)
    modalities, series, instances = counted.get(row.study_id, (set(), 1, 1))
    depth = ["studies", "series", "instances"].index(level)
    address = "/".join(kept.address.split("/")[: 2 * depth + 2])
    known: dict[str, tuple[str, list[Any]]] = {
        "00080056": ("CS", ["ONLINE"]),
        "00080061": ("CS", sorted(modalities)),
        "00081190": ("UR", [f"{ROOT}/{address}"]),
        "00201206": ("IS", [series]),
        "00201208": ("IS", [instances]),
    }
    if level == "series":
        known["00201209"] = ("IS", [row.instances])
    added = {tag: {"vr": vr, "Value": value} for tag, (vr, value) in known.items()}
    return {**json.loads(_header(kept)), **added}


@lru_cache(_KEPT_HEADERS)
def _header(kept: Kept) -> str:
    return json.dumps(header_json(kept))
