"""Entries of the audit trail as DICOM audit messages (PS3.15 A.5)."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from xml.etree import ElementTree as ET

from plugin.state.audit import Action, Entry, Objects, Outcome, Subject, Who

Code = tuple[str, str, str]
"""Code value, coding scheme and meaning."""

_SOURCE: Code = ("110153", "DCM", "Source Role ID")
_DESTINATION: Code = ("110152", "DCM", "Destination Role ID")
_APPLICATION: Code = ("110150", "DCM", "Application")
_STUDY: Code = ("110180", "DCM", "Study Instance UID")
_PATIENT: Code = ("2", "RFC-3881", "Patient Number")
_URI: Code = ("12", "RFC-3881", "URI")
# A.5.1.2.1: application server process
_SOURCE_TYPE = "4"
# What stands where the identity is not known; the schema wants something
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class _Event:
    """How an action is told: event, kind of event, and what was done to objects (A.5.3)."""

    id: Code
    action: str
    type: Code | None = None


_ACTIVITY: Code = ("110100", "DCM", "Application Activity")
_ACCESSED: Code = ("110103", "DCM", "DICOM Instances Accessed")
_BEGIN: Code = ("110102", "DCM", "Begin Transferring DICOM Instances")
_TRANSFERRED: Code = ("110104", "DCM", "DICOM Instances Transferred")
_SECURITY: Code = ("110113", "DCM", "Security Alert")
_AUTHENTICATION: Code = ("110114", "DCM", "User Authentication")
_EVENTS = {
    Action.STARTED: _Event(_ACTIVITY, "E", ("110120", "DCM", "Application Start")),
    Action.STOPPED: _Event(_ACTIVITY, "E", ("110121", "DCM", "Application Stop")),
    Action.CONFIGURED: _Event(_SECURITY, "E", ("110131", "DCM", "Software Configuration")),
    Action.RECEIVING: _Event(_BEGIN, "E"),
    Action.RECEIVED: _Event(_TRANSFERRED, "C"),
    Action.DRAFTED: _Event(_ACCESSED, "C"),
    Action.SENDING: _Event(_BEGIN, "E"),
    Action.SENT: _Event(_TRANSFERRED, "C"),
    Action.RETRACTED: _Event(_ACCESSED, "D"),
    Action.DELETED: _Event(("110105", "DCM", "DICOM Study Deleted"), "D"),
    Action.ASKED: _Event(_SECURITY, "E", ("110132", "DCM", "Use of Restricted Function")),
    Action.VIEWED: _Event(_ACCESSED, "R"),
    Action.CHANGED: _Event(_ACCESSED, "U"),
    Action.ACCEPTED: _Event(_ACCESSED, "U"),
    Action.LOGIN: _Event(_AUTHENTICATION, "E", ("110122", "DCM", "Login")),
    Action.LOGOUT: _Event(_AUTHENTICATION, "E", ("110123", "DCM", "Logout")),
    Action.TRAIL_READ: _Event(("110101", "DCM", "Audit Log Used"), "R"),
    Action.TRAIL_CUT: _Event(_SECURITY, "E", ("110132", "DCM", "Use of Restricted Function")),
}
_OF_THE_TRAIL = (Action.TRAIL_READ, Action.TRAIL_CUT)
_TRANSFERS = (_BEGIN, _TRANSFERRED)


@dataclass(frozen=True)
class Source:
    """Who reports (A.5.2, AuditSourceIdentification).

    Parameters
    ----------
    id : str
        Of this service, unique in the site.
    site : str, optional
        Of the enterprise.
    ae_titles : tuple of str
        By which this service is called.
    """

    id: str
    site: str | None = None
    ae_titles: tuple[str, ...] = ()


def audit_message(entry: Entry, time: datetime, source: Source) -> str:
    """Write an entry as an `AuditMessage`.

    Parameters
    ----------
    entry : Entry
        Of the trail.
    time : datetime
        When it happened; aware.
    source : Source
        Who reports it.
    """
    message = ET.Element("AuditMessage")
    _event(message, entry, time)
    told = _EVENTS[entry.action]
    transfers = told.id in _TRANSFERS
    to = entry.to or (_ourselves(source) if transfers else None)
    role = _SOURCE if transfers else _APPLICATION if told.id == _ACTIVITY else None
    _participant(message, entry.who, role, source, asks=True)
    if to is not None:
        _participant(message, to, _DESTINATION if transfers else None, source, asks=False)
    _source(message, source)
    if entry.study is not None:
        _study(message, entry.study, entry.detail)
        _patient(message, entry.study)
    elif told.id not in (_ACTIVITY, _AUTHENTICATION):
        _resource(message, entry)
    return ET.tostring(message, "unicode", short_empty_elements=True)


def _event(message: ET.Element, entry: Entry, time: datetime) -> None:
    told = _EVENTS[entry.action]
    action = told.action
    if entry.action is Action.RECEIVED and not (entry.study and entry.study.objects):
        action = "R"  # nothing that was not here already
    event = ET.SubElement(
        message,
        "EventIdentification",
        EventActionCode=action,
        EventDateTime=time.isoformat(timespec="milliseconds"),
        EventOutcomeIndicator=str(int(entry.outcome)),
    )
    _code(event, "EventID", told.id)
    if told.type is not None:
        _code(event, "EventTypeCode", told.type)
    if entry.outcome is not Outcome.SUCCESS and entry.detail:
        ET.SubElement(event, "EventOutcomeDescription").text = entry.detail


def _participant(
    message: ET.Element, who: Who, role: Code | None, source: Source, *, asks: bool
) -> None:
    attributes = {"UserID": who.name, "UserIsRequestor": "true" if asks else "false"}
    if who.kind == "process" and source.ae_titles:
        attributes["AlternativeUserID"] = f"AETITLES={';'.join(source.ae_titles)}"  # A.5.2.2
    if who.address:
        attributes["NetworkAccessPointID"] = who.address
        attributes["NetworkAccessPointTypeCode"] = "2" if _is_ip(who.address) else "1"
    participant = ET.SubElement(message, "ActiveParticipant", attributes)
    if role is not None:
        _code(participant, "RoleIDCode", role)


def _ourselves(source: Source) -> Who:
    return Who(kind="process", name=source.id)


def _source(message: ET.Element, source: Source) -> None:
    attributes = {"AuditSourceID": source.id}
    if source.site:
        attributes["AuditEnterpriseSiteID"] = source.site
    identification = ET.SubElement(message, "AuditSourceIdentification", attributes)
    ET.SubElement(identification, "AuditSourceTypeCode", {"csd-code": _SOURCE_TYPE})


def _study(message: ET.Element, study: Subject, detail: str) -> None:
    found = _object(message, study.study_instance_uid, _STUDY, "Study", type="2", role="3")
    if detail:
        _detail(found, detail)
    described = ET.SubElement(found, "ParticipantObjectDescription")
    if study.accession_number:
        ET.SubElement(described, "Accession", Number=study.accession_number)
    for objects in study.objects:
        _sop_class(described, objects)


def _sop_class(described: ET.Element, objects: Objects) -> None:
    attributes = {"UID": objects.sop_class_uid, "NumberOfInstances": str(objects.number)}
    sop_class = ET.SubElement(described, "SOPClass", attributes)
    for uid in objects.uids:
        ET.SubElement(sop_class, "Instance", UID=uid)


def _patient(message: ET.Element, study: Subject) -> None:
    _object(message, study.patient_id or _UNKNOWN, _PATIENT, "Patient", type="1", role="1")


def _resource(message: ET.Element, entry: Entry) -> None:
    """What an event without a study is about: the trail, or what was configured or asked for."""
    name = "Security Audit Log" if entry.action in _OF_THE_TRAIL else "ctscribe"
    uri = f"urn:ctscribe:{entry.action.value.replace(' ', '-')}"
    found = _object(message, uri, _URI, name, type="2", role="13")
    if entry.detail:
        _detail(found, entry.detail)


def _object(
    message: ET.Element, identifier: str, kind: Code, name: str, *, type: str, role: str
) -> ET.Element:
    found = ET.SubElement(
        message,
        "ParticipantObjectIdentification",
        ParticipantObjectID=identifier,
        ParticipantObjectTypeCode=type,
        ParticipantObjectTypeCodeRole=role,
    )
    _code(found, "ParticipantObjectIDTypeCode", kind)
    ET.SubElement(found, "ParticipantObjectName").text = name
    return found


def _detail(found: ET.Element, text: str) -> None:
    value = b64encode(text.encode()).decode()
    ET.SubElement(found, "ParticipantObjectDetail", type="description", value=value)


def _code(parent: ET.Element, name: str, code: Code) -> None:
    value, scheme, meaning = code
    attributes = {"csd-code": value, "codeSystemName": scheme}
    ET.SubElement(parent, name, {**attributes, "displayName": meaning, "originalText": meaning})


def _is_ip(address: str) -> bool:
    try:
        ip_address(address)
    except ValueError:
        return False
    return True
