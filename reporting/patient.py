"""Patient and study of the CT, carried into the report as the PACS has them.

What a PACS matches on (type 2) is copied as it stands, valid or not, and empty where the CT does
not hold it. The rest is copied where it is valid and says something, for an odd age of the CT is
no reason to write an invalid report. All of it is text that was decoded strictly: the name under
which a report is filed is never a guess.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone

from pydicom import DataElement, Dataset
from pydicom.config import IGNORE, RAISE
from pydicom.datadict import dictionary_VR
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.valuerep import validate_value

from dicom_io.archives.patients.identity import identities_of, names_differ
from dicom_io.characters import settle_text
from dicom_io.errors import DicomError, UnreadableText

# PS3.3 tables C.7-1 and C.7-3, attributes of type 2
_TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)
# PS3.3 tables C.7-1, C.7-3 and C.7-4a, optional
_OPTIONAL = (
    "IssuerOfPatientID",
    "OtherPatientNames",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "StudyDescription",
    "PatientAge",
    "TimezoneOffsetFromUTC",
)
IDENTITY = (*_TYPE_2, *_OPTIONAL)
# What a report is filed by: no draft without it. The rest is left out where it is unreadable
FILED_BY = ("PatientName", "PatientID", "IssuerOfPatientID", "AccessionNumber")
# What the images of one patient and study have in common
_AGREED = (
    ("PatientName", "names of the patient"),
    ("IssuerOfPatientID", "issuers of the PatientID"),
    ("PatientBirthDate", "birth dates"),
    ("AccessionNumber", "accession numbers"),
)
# PS3.5 6.2 ends at 64 characters, which real devices exceed. What is five times as long, or over a
# kilobyte, is damage and names nobody
_LONGEST, _LONGEST_BYTES = 64 * 5, 1024
# PS3.3 C.12.1.1.8; zones of the earth end at 14 hours
_OFFSET = re.compile(r"([+-])([0-9]{2})([0-5][0-9])")
_WIDEST_OFFSET = timedelta(hours=14)


def settle_identity(header: Dataset, default_character_set: str | None = None) -> None:
    """Decode patient and study of a CT header, in place.

    Parameters
    ----------
    header : pydicom.Dataset
        As it was read.
    default_character_set : str, optional
        See `dicom_io.characters.settle_text`.

    Raises
    ------
    UnreadableText
        A name or number that a report is filed by cannot be read for certain, or is none: it has
        several values, or a length that no archive files by.
    """
    for keyword in IDENTITY:
        try:
            settle_text(header, keyword, default_character_set)
        except UnreadableText as error:
            if keyword in FILED_BY:
                raise UnreadableText(
                    f"{error}: correct it, or set worker.default_character_set to what the "
                    "archive reads it as"
                ) from None
            _put(header, keyword, "")
    for keyword in FILED_BY:
        _require_identity(keyword, _value(header, keyword))


def _require_identity(keyword: str, value: str | list[str]) -> None:
    values = [value] if isinstance(value, str) else value
    if keyword == "PatientID" and len(values) > 1:
        raise UnreadableText("PatientID holds several values: correct it")
    if any(len(one) > _LONGEST or len(one.encode()) > _LONGEST_BYTES for one in values):
        raise UnreadableText(
            f"{keyword} is longer than {_LONGEST} characters or {_LONGEST_BYTES} bytes: correct it"
        )


def require_one_patient(
    headers: Iterable[Dataset], default_character_set: str | None = None
) -> None:
    """Refuse images of more than one patient under one study: the report could name the wrong one.

    The PatientID decides; where an image has none, the name must agree as well.

    Parameters
    ----------
    headers : iterable of pydicom.Dataset
        Their identity is decoded in place, see `settle_identity`.
    default_character_set : str, optional
        See `dicom_io.characters.settle_text`.

    Raises
    ------
    DicomError
        Which patients is not said: a message holds no identity.
    """
    headers = list(headers)
    for header in headers:
        settle_identity(header, default_character_set)
    identities = identities_of(headers)
    ids = {identity.patient_id for identity in identities}
    names = {identity.patient_name.casefold() for identity in identities}
    if len(ids) > 1 or ("" in ids and len(names) > 1):
        raise DicomError(
            f"the images name {max(len(ids), len(names))} different patients under one "
            "StudyInstanceUID: correct the study where it came from, then send it again"
        )


def disagreements(headers: Iterable[Dataset]) -> tuple[str, ...]:
    """What images of one patient do not agree on, a sentence each, without the values.

    A correction that has reached a part of the images is one cause; the report has the values of
    the images that were read.

    Parameters
    ----------
    headers : iterable of pydicom.Dataset
        Settled by `require_one_patient`. A value that is absent disagrees with none.
    """
    headers = list(headers)
    said = []
    for keyword, several in _AGREED:
        values = {v for h in headers if (v := str(_value(h, keyword)).strip())}
        first = min(values, default="")
        if keyword == "PatientName":
            values = {first, *(v for v in values if names_differ(first, v))}
        if len(values) > 1:
            said.append(
                f"The images name {len(values)} {several}; the report has that of those read."
            )
    return tuple(said)


def copy_identity(source: Dataset, target: Dataset) -> None:
    """Copy patient and study of a CT header into a report, decoded strictly, unvalidated.

    Parameters
    ----------
    source : pydicom.Dataset
        A CT header; its SpecificCharacterSet says how its text is encoded, unless
        `settle_identity` has decoded it.
    target : pydicom.Dataset
        The report, changed in place; its own SpecificCharacterSet decides the encoding.

    Raises
    ------
    UnreadableText
        A name or number that a report is filed by cannot be read for certain.
    """
    settle_identity(source)
    for keyword in IDENTITY:
        value = _value(source, keyword)
        if keyword in _TYPE_2 or (value and _is_valid(keyword, value)):
            _put(target, keyword, value)
    # Removed how? Without a method the flag alone is against C.7.1.1 (type 1C)
    if "PatientIdentityRemoved" in target and "DeidentificationMethod" not in target:
        del target.PatientIdentityRemoved
    if time_zone_of(target) is None:
        target.pop("TimezoneOffsetFromUTC", None)


def now_at(source: Dataset) -> datetime:
    """Return the present moment in the time zone the CT states, else in local time."""
    return datetime.now(UTC).astimezone(time_zone_of(source))


def time_zone_of(source: Dataset) -> timezone | None:
    """Return the time zone that an object states; None where it states none, or no valid one."""
    stated = _OFFSET.fullmatch(str(source.get("TimezoneOffsetFromUTC") or ""))
    if stated is None:
        return None
    offset = timedelta(hours=int(stated[2]), minutes=int(stated[3]))
    return None if offset > _WIDEST_OFFSET else timezone(-offset if stated[1] == "-" else offset)


def _value(source: Dataset, keyword: str) -> str | list[str]:
    if keyword not in source:
        return ""
    value = source[keyword].value
    if isinstance(value, MultiValue | list):
        return [str(part) for part in value]
    return "" if value is None else str(value)


def _is_valid(keyword: str, value: str | list[str]) -> bool:
    parts = [value] if isinstance(value, str) else value
    try:
        for part in parts:
            validate_value(dictionary_VR(keyword), part, RAISE)
    except ValueError:
        return False
    return True


def _put(target: Dataset, keyword: str, value: str | list[str]) -> None:
    vr = dictionary_VR(keyword)
    target.add(DataElement(Tag(keyword), vr, value, validation_mode=IGNORE))
