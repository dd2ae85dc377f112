"""Patient and study of the CT, carried into the report as the PACS has them.

Every value is copied as it stands, valid or not: a PACS matches on them. What the CT does not
hold is empty where the report's IOD wants the attribute (type 2), and absent otherwise.
"""

from datetime import UTC, datetime, timedelta, timezone

from pydicom import DataElement, Dataset
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR
from pydicom.multival import MultiValue
from pydicom.tag import Tag

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
# PS3.3 tables C.7-1, C.7-3 and C.7-4a, optional: copied where they say something
_OPTIONAL = (
    "IssuerOfPatientID",
    "TypeOfPatientID",
    "PatientBirthTime",
    "OtherPatientIDs",
    "OtherPatientNames",
    "EthnicGroup",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "StudyDescription",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "TimezoneOffsetFromUTC",
)
IDENTITY = (*_TYPE_2, *_OPTIONAL)


def copy_identity(source: Dataset, target: Dataset) -> None:
    """Copy patient and study of a CT header into a report, decoded, unvalidated.

    Parameters
    ----------
    source : pydicom.Dataset
        A CT header; its SpecificCharacterSet says how its text is encoded.
    target : pydicom.Dataset
        The report, changed in place; its own SpecificCharacterSet decides the encoding.
    """
    for keyword in IDENTITY:
        try:
            value = _value(source, keyword)
            if value or keyword in _TYPE_2:
                _put(target, keyword, value)
        except (ValueError, TypeError, OverflowError):
            continue  # a number or UID that is none: no DICOM writer can carry it
    # Removed how? Without a method the flag alone is against C.7.1.1 (type 1C)
    if "PatientIdentityRemoved" in target and "DeidentificationMethod" not in target:
        del target.PatientIdentityRemoved


def now_at(source: Dataset) -> datetime:
    """Return the present moment in the time zone the CT states, else in local time."""
    offset = str(source.get("TimezoneOffsetFromUTC") or "")
    if len(offset) != 5 or offset[0] not in "+-" or not offset[1:].isdigit():
        return datetime.now(UTC).astimezone()
    minutes = int(offset[1:3]) * 60 + int(offset[3:])
    if minutes >= 24 * 60:
        return datetime.now(UTC).astimezone()
    return datetime.now(timezone(timedelta(minutes=minutes if offset[0] == "+" else -minutes)))


def _value(source: Dataset, keyword: str) -> str | list[str]:
    if keyword not in source:
        return ""
    value = source[keyword].value
    if isinstance(value, MultiValue | list):
        return [str(part) for part in value]
    return "" if value is None else str(value)


def _put(target: Dataset, keyword: str, value: str | list[str]) -> None:
    vr = dictionary_VR(keyword)
    target.add(DataElement(Tag(keyword), vr, value, validation_mode=IGNORE))
