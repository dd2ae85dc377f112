"""Earlier and later studies of the same patient, among those that were received."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from dicom_io.archives.patients.identity import Person, same_person
from dicom_io.archives.patients.studies import person_of
from plugin.web.beside.reports import Report, report_of
from plugin.web.dicomweb.archive import Archive
from plugin.web.dicomweb.metadata import tag_of
from plugin.web.dicomweb.qido import search
from plugin.web.dicomweb.query import Query

Attributes = Mapping[str, Any]
RECEIVED = "received"
# Nobody reads more; a patient of an oncology ward has some dozens
_MOST = 100


@dataclass(frozen=True)
class Prior:
    """Another study of the patient.

    Parameters
    ----------
    study_instance_uid, date, description, modality : str
        As its headers say; the date as DICOM writes it, empty where it is not told.
    source : str
        Where it is: "received" here.
    report : Report
        What was written of it.
    """

    study_instance_uid: str
    date: str
    description: str
    modality: str
    source: str
    report: Report


def received_priors(archive: Archive, study_instance_uid: str) -> list[Prior]:
    """Return the other studies of the patient that are here, the latest first.

    Parameters
    ----------
    archive : Archive
        Where they are.
    study_instance_uid : str
        Of the study that somebody reads.

    Raises
    ------
    Refused
        There is no such study.
    """
    own = whose(archive, study_instance_uid)
    if not own.patient_id:
        return []
    query = _by(PatientID=own.patient_id)
    query.limit = _MOST
    found = [
        _prior(archive, other)
        for other in search(archive, "studies", query).rows
        if text_of(other, "StudyInstanceUID") != study_instance_uid
        and same_person(own, person(other))
    ]
    return sorted(found, key=lambda one: one.date, reverse=True)


def whose(archive: Archive, study_instance_uid: str) -> Person:
    """Return whose study it is.

    Parameters
    ----------
    archive : Archive
        Where it is.
    study_instance_uid : str
        Of the study.

    Raises
    ------
    Refused
        There is no such study.
    """
    archive.instances(study_instance_uid)
    found = search(archive, "studies", _by(StudyInstanceUID=study_instance_uid)).rows
    return person(found[0])


def person(attributes: Attributes) -> Person:
    """Read whom DICOM JSON is about."""
    return person_of(partial(text_of, attributes))


def text_of(attributes: Attributes, keyword: str) -> str:
    """Return the first value of an attribute as text, empty where it has none.

    Parameters
    ----------
    attributes : mapping
        DICOM JSON.
    keyword : str
        Of the attribute; a person's name has its groups in DICOM's order.
    """
    (value, *_) = attributes.get(tag_of(keyword) or "", {}).get("Value") or [""]
    if isinstance(value, dict):
        groups = (str(value.get(g, "")) for g in ("Alphabetic", "Ideographic", "Phonetic"))
        return "=".join(groups).rstrip("=").strip()
    return str(value).strip()


def _by(**wanted: str) -> Query:
    return Query.of(wanted.items())


def _prior(archive: Archive, found: Attributes) -> Prior:
    uid = text_of(found, "StudyInstanceUID")
    return Prior(
        study_instance_uid=uid,
        date=text_of(found, "StudyDate"),
        description=text_of(found, "StudyDescription"),
        modality=text_of(found, "ModalitiesInStudy"),
        source=RECEIVED,
        report=report_of(archive, uid),
    )
