"""What every form takes from the Enhanced SR that it is made of."""

from __future__ import annotations

from datetime import datetime

from pydicom import DataElement, Dataset
from pydicom.config import IGNORE
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicom_io.device import MANUFACTURER, MODEL_NAME, uid_in_form
from reporting.draft import DRAFT_NOTICE
from reporting.objects.concepts import ENGLISH, LANGUAGE
from reporting.objects.template import ACCEPTED_NOTICE, ACCEPTED_SERIES
from reporting.patient import IDENTITY, time_zone_of

_SAME = (
    *IDENTITY,
    "StudyInstanceUID",
    "SeriesDate",
    "SeriesTime",
    "SeriesDescription",
    "InstanceCreationDate",
    "InstanceCreationTime",
    "ContentDate",
    "ContentTime",
    "Manufacturer",
    "ManufacturerModelName",
    "SoftwareVersions",
    "DeviceUID",
)
# Numbers of series: 9001 is the first draft as SR, 9101 as text SR, 9201 as PDF, 9301 as image
_SERIES = {"text-sr": 100, "pdf": 200, "image": 300}


def new_object(sr: Dataset, form: str, sop_class_uid: UID, modality: str) -> Dataset:
    """Begin an object of another class beside an Enhanced SR: same patient, study and device.

    Parameters
    ----------
    sr : pydicom.Dataset
        The report.
    form : str
        Its name decides the UIDs.
    sop_class_uid, modality : UID, str
        Of the new object.
    """
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = sop_class_uid
    made.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _SAME:
        if keyword in sr:
            element = sr[keyword]
            # The patient may have odd values: they are copied as they stand
            copied = DataElement(element.tag, element.VR, element.value, validation_mode=IGNORE)
            made.add(copied)
    made.SOPClassUID = sop_class_uid
    made.Modality = modality
    made.InstanceNumber = 1
    name_in_form(made, sr, form)
    return made


def name_in_form(made: Dataset, sr: Dataset, form: str) -> None:
    """Give an object the UIDs and the series number of a form.

    Parameters
    ----------
    made : Dataset
        The object, changed in place.
    sr : Dataset
        The report object it is made of.
    form : str
        Name of the form.
    """
    made.SOPInstanceUID = uid_in_form(sr.SOPInstanceUID, form)
    made.SeriesInstanceUID = uid_in_form(sr.SeriesInstanceUID, form)
    made.SeriesNumber = int(sr.SeriesNumber) + _SERIES[form]
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID


def is_accepted(sr: Dataset) -> bool:
    """Whether a physician has accepted a report; else it is a draft."""
    return str(sr.get("SeriesDescription")) == ACCEPTED_SERIES


def accepted_by(sr: Dataset) -> str:
    """Name the physician that accepted a report; empty for a draft."""
    people = (one for one in sr.get("AuthorObserverSequence") or [] if one.ObserverType == "PSN")
    return next((str(one.PersonName).rstrip("^") for one in people), "")


def language_of(sr: Dataset) -> str:
    """Return the language of a report, as RFC 5646 writes it."""
    found = (
        str(one.ConceptCodeSequence[0].CodeValue)
        for one in sr.ContentSequence
        if one.ConceptNameCodeSequence[0].CodeValue == LANGUAGE.value
    )
    return next(found, ENGLISH.value)


def notice_of(sr: Dataset) -> str:
    """Return what stands over a report in every form."""
    if not is_accepted(sr):
        return DRAFT_NOTICE
    verified = "" if sr.VerificationFlag == "VERIFIED" else ", not verified"
    return f"{ACCEPTED_NOTICE}, accepted by {accepted_by(sr)}{verified}"


def written_at(sr: Dataset) -> datetime:
    """When a report was written; with a time zone where the CT states one."""
    moment = datetime.strptime(f"{sr.ContentDate}{str(sr.ContentTime)[:6]}", "%Y%m%d%H%M%S")
    return moment.replace(tzinfo=time_zone_of(sr))


def writer(sr: Dataset) -> str:
    """Name software and model."""
    versions = sr.get("SoftwareVersions") or ()
    lines = [versions] if isinstance(versions, str) else list(versions)
    return f"{MANUFACTURER}: {', '.join(lines[:2]) or MODEL_NAME}"
