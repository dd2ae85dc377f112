"""DICOM headers without the patient: PS3.15's basic profile on the few elements that are needed.

The profile, and the walk through its rules, are the library's (decision 0024). It keeps whatever a
person typed into an element that is no identifier by its definition, so only the elements of
`survivors` reach it, and each has a rule of its own for the value that it may have.
"""

from __future__ import annotations

import logging
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import dicomanonymizer
from pydicom import DataElement, Dataset, Sequence
from pydicom.datadict import dictionary_VR
from pydicom.dataset import FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.uid import UID

from dicom_io.errors import IdentifiedContent
from dicom_io.slices.slices import CT_CLASSES
from training.site.deidentify.keys import Key
from training.site.deidentify.known import names_in
from training.site.deidentify.survivors import (
    CLEANED,
    GROUPS,
    PIXELS,
    Cleaner,
    Patient,
    is_standard,
    tag_of,
)
from training.site.deidentify.vocabulary import kernel

_EDITION = "dicomfields_2026c"
"""The edition of PS3.15 Table E.1-1 that is applied."""

# PS3.16 CID 7050: what was done, in the standard's codes
_METHODS = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113105", "Clean Descriptors Option"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    ("113108", "Retain Patient Characteristics Option"),
    ("113109", "Retain Device Identity Option"),
)
_SHEETS = {"SCREEN SAVE", "SCREEN_SAVE", "SCREENSAVE", "DOSE_INFO", "PATIENT_INFO", "SCANNED"}
_LEAST_BITS = 9
"""Pictures of a screen or a sheet of paper have 8."""

Rules = dict[tuple[int, int], Callable[[Dataset, tuple[int, int]], None]]


_TALKATIVE = ("pydicom", "pynetdicom", "httpx", "httpcore", "spacy")
_SILENT = logging.CRITICAL + 1


@contextmanager
def quiet() -> Iterator[None]:
    """Let no library speak of the headers it reads: warnings and logs quote their values."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    # To set a level empties what every logger of the process remembers: a fifth of a study's time
    heard = [(logger, logger.level) for logger in loggers if logger.level != _SILENT]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger, _ in heard:
            # a level holds for the loggers below it too, which `disabled` does not
            logger.setLevel(_SILENT)
        try:
            yield
        finally:
            for logger, level in heard:
                logger.setLevel(level)


def deidentify(dataset: Dataset, key: Key) -> Dataset:
    """Make a data set that no longer tells whose it is.

    Parameters
    ----------
    dataset : pydicom.Dataset
        A CT image, or its header alone. It is not changed.
    key : Key
        Of the data set that is being made.

    Returns
    -------
    pydicom.Dataset
        Geometry, pixels and acquisition; UIDs and patient ID replaced, dates and times shifted; no
        private element, overlay or curve, and no sequence but the functional groups.

    Raises
    ------
    IdentifiedContent
        It is no CT image, or its pixels may show text.
    """
    with quiet():
        refuse_burned_in(dataset)
        patient = _patient(dataset, key)
        kept = _selected(dataset)
        kept.PatientID = kept.get("PatientID", "")
        kept.setdefault("PatientAge", "")
        _apply_profile(kept, _options(patient))
        _state_methods(kept)
        kept.file_meta = _file_meta(dataset, kept)
    return kept


def refuse_burned_in(dataset: Dataset) -> None:
    """Refuse what is no CT image, and images that are known to show text or a face.

    Raises
    ------
    IdentifiedContent
        The message says why, and nothing that the header says.
    """
    if UID(_text(dataset, "SOPClassUID")) not in CT_CLASSES:
        raise IdentifiedContent("no CT image object")
    if _text(dataset, "BurnedInAnnotation").upper() not in ("", "NO"):
        raise IdentifiedContent("text is burned into the image")
    if _text(dataset, "RecognizableVisualFeatures").upper() not in ("", "NO"):
        raise IdentifiedContent("the face is said to be recognisable")
    if _text(dataset, "ConversionType"):
        raise IdentifiedContent("a secondary capture")
    if _SHEETS & set(_text(dataset, "ImageType").upper().split("\\")):
        raise IdentifiedContent("a picture of a screen or a sheet")
    if _text(dataset, "SamplesPerPixel") not in ("", "1"):
        raise IdentifiedContent("a colour image")
    bits = _text(dataset, "BitsStored")
    if bits.isdecimal() and int(bits) < _LEAST_BITS:
        raise IdentifiedContent("an image of 8 bits, as pictures of a screen have")


def patient_of(dataset: Dataset) -> str:
    """What stands for the patient: ID, else name and birth date, else the study is one's own."""
    with quiet():
        if identity := _text(dataset, "PatientID"):
            return f"id {identity.casefold()}"
        name, born = _text(dataset, "PatientName"), _text(dataset, "PatientBirthDate")
        if name.strip("^= ") and born:
            return f"name {name.casefold()} {born}"
        return f"study {_text(dataset, 'StudyInstanceUID')}"


def also_known_as(dataset: Dataset) -> set[str]:
    """What else stands for the patient: other numbers, and the name with the birth date.

    Two patients that share one of these may be the same person, whose studies must not stand in
    two parts of a split. It does not matter who issued a number.
    """
    with quiet():
        numbers = [_text(dataset, "PatientID"), *_text(dataset, "OtherPatientIDs").split("\\")]
        others = dataset.get("OtherPatientIDsSequence") or ()
        numbers += [_text(item, "PatientID") for item in others if isinstance(item, Dataset)]
        known = {f"id {number.strip().casefold()}" for number in numbers if number.strip()}
        born = _text(dataset, "PatientBirthDate")
        spelled = _text(dataset, "PatientName").partition("=")[0].casefold()
        name = " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", spelled)))
        return known | ({f"name {name} {born}"} if name and born else set())


def origin(deidentified: Dataset) -> dict[str, Any]:
    """What the data set tells of scanner, acquisition and patient of a de-identified header."""
    age, date = _text(deidentified, "PatientAge"), _text(deidentified, "StudyDate")
    return {
        "manufacturer": _text(deidentified, "Manufacturer") or None,
        "model": _text(deidentified, "ManufacturerModelName") or None,
        "kernel": kernel(_text(deidentified, "ConvolutionKernel").split("\\")[0]),
        "kvp": _number(deidentified, "KVP"),
        "slice_thickness_mm": _number(deidentified, "SliceThickness"),
        "contrast": "ContrastBolusAgent" in deidentified,
        "sex": _text(deidentified, "PatientSex") or None,
        "age_decade": {"": None, "090Y": "90+"}.get(age, f"{age[1:3].lstrip('0') or '0'}s"),
        "study_date": f"{date[:4]}-{date[4:6]}-{date[6:]}" if date else None,
    }


def _patient(dataset: Dataset, key: Key) -> Patient:
    return Patient(
        key,
        patient_of(dataset),
        names_in(dataset),
        _text(dataset, "PatientBirthDate"),
        _text(dataset, "StudyDate"),
    )


@cache
def _tags() -> frozenset[int]:
    return frozenset(tag_of(keyword) for keyword in (*CLEANED, *GROUPS, *PIXELS))


def _selected(dataset: Dataset) -> Dataset:
    """Copy the elements that may survive; one that is not of the standard's VR may not."""
    kept = Dataset()
    for tag in _tags() & set(dataset.keys()):
        try:
            element = dataset[tag]
            if not set(element.VR.split(" or ")) <= set(dictionary_VR(tag).split(" or ")):
                continue
            value = element.value
            if element.VR == "SQ":
                value = Sequence([_selected(item) for item in value])
            kept.add(DataElement(tag, element.VR, value))
        except (ValueError, TypeError, OverflowError, NotImplementedError, AttributeError):
            continue  # a value that is none of its VR says nothing
    return kept


def _apply_profile(dataset: Dataset, options: Rules) -> None:
    """Apply the profile to every item, the innermost first: the library looks at one level."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                _apply_profile(item, options)
    present = {(tag.group, tag.element) for tag in dataset.keys()}  # noqa: SIM118
    dicomanonymizer.anonymize_dataset(
        dataset,
        {tag: rule for tag, rule in options.items() if tag in present},
        base_rules_gen=lambda: {
            t: a for t, a in _basic_profile().items() if len(t) > 2 or t in present
        },
    )


@cache
def _basic_profile() -> Mapping[tuple[int, ...], Any]:
    actions: Mapping[tuple[int, ...], Any] = dicomanonymizer.initialize_actions(_EDITION)
    return actions


def _options(patient: Patient) -> Rules:
    """The profile's options as rules: descriptors cleaned, dates modified, age and device kept."""
    return {
        (tag_of(keyword) >> 16, tag_of(keyword) & 0xFFFF): _rule(cleaner, patient)
        for keyword, cleaner in CLEANED.items()
    } | {(tag_of(group) >> 16, tag_of(group) & 0xFFFF): dicomanonymizer.keep for group in GROUPS}


def _rule(cleaner: Cleaner, patient: Patient) -> Callable[[Dataset, tuple[int, int]], None]:
    def clean(dataset: Dataset, tag: tuple[int, int]) -> None:
        try:
            value = cleaner(dataset[tag].value, patient)
        except (ValueError, TypeError, OverflowError):
            value = None
        if value is None:
            del dataset[Tag(tag)]
        else:
            dataset[tag].value = value

    return clean


def _state_methods(dataset: Dataset) -> None:
    """Say that it was done (PS3.15 E.1.1, step 6)."""
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientIdentityRemoved = "YES"
    dataset.LongitudinalTemporalInformationModified = "MODIFIED"
    codes = Sequence()
    for value, meaning in _METHODS:
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
        codes.append(code)
    dataset.DeidentificationMethodCodeSequence = codes


def _file_meta(dataset: Dataset, kept: Dataset) -> FileMetaDataset:
    """New meta information; of the old one only how the pixels are encoded."""
    meta = FileMetaDataset()
    syntax = _text(getattr(dataset, "file_meta", Dataset()), "TransferSyntaxUID")
    if is_standard(syntax):
        meta.TransferSyntaxUID = UID(syntax)
    meta.MediaStorageSOPClassUID = kept.SOPClassUID
    meta.MediaStorageSOPInstanceUID = kept.SOPInstanceUID
    return meta


def _text(dataset: Dataset, keyword: str) -> str:
    """The value of an element as the standard writes it; "" where none can be read."""
    try:
        value = dataset.get(keyword)
    except (ValueError, TypeError, OverflowError, NotImplementedError, AttributeError):
        return ""
    parts = value if isinstance(value, MultiValue | list) else [value]
    return "\\".join(str(part).strip() for part in parts if part is not None)


def _number(dataset: Dataset, keyword: str) -> float | None:
    text = _text(dataset, keyword)
    return float(text) if text else None
