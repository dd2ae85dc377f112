"""Which elements of a header survive de-identification, and what value each may have.

What is not listed is dropped, whatever it is: private elements that no list names, overlays,
curves, comments, every sequence but the functional groups. Values are numbers within bounds, words
of a vocabulary, or made with the key. docs/deidentification.md shows this table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.multival import MultiValue
from pydicom.uid import UID

from training.site.deidentify import vocabulary
from training.site.deidentify.keys import Key

OLDEST_TOLD = 90
"""Ages from here on are one group (45 CFR 164.514(b)(2)(i)(C))."""


@dataclass(frozen=True)
class Patient:
    """Whose header it is: pseudonym, shift in time, and the words of the names in it."""

    key: Key
    identity: str
    names: frozenset[str]
    birth_date: str
    study_date: str


Cleaner = Callable[[Any, Patient], Any]
"""Value -> the value that survives, or None for none."""


def _numbers(low: float, high: float) -> Cleaner:
    def clean(value: Any, _: Patient) -> Any:
        values = [float(part) for part in _parts(value)]
        sound = values and all(math.isfinite(v) and low <= v <= high for v in values)
        return value if sound else None

    return clean


def _words(*known: str) -> Cleaner:
    def clean(value: Any, _: Patient) -> Any:
        words = [str(part).strip().upper() for part in _parts(value)]
        kept = [word if word in known else vocabulary.OTHER for word in words if word]
        return kept or None

    return clean


def _groups(value: Any, _: Patient) -> Any:
    return value


def _uid(value: Any, patient: Patient) -> Any:
    return [patient.key.uid(str(part)) for part in _parts(value)] or None


def _class_uid(value: Any, _: Patient) -> Any:
    return value if is_standard(str(value)) else None


def _patient_id(_: Any, patient: Patient) -> Any:
    return patient.key.patient(patient.identity)


def _date(value: Any, patient: Patient) -> Any:
    moved = _moved(str(value), patient)
    return moved and moved.strftime("%Y%m%d")


def _time(value: Any, patient: Patient) -> Any:
    text = str(value).strip()
    if not (len(text) >= 6 and text[:6].isdecimal()):
        return None
    h, m, s = int(text[:2]), int(text[2:4]), int(text[4:6])
    fraction = text[7:13] if text[6:7] == "." and text[7:13].isdecimal() else ""
    if h > 23 or m > 59 or s > 59:
        return None
    second = (3600 * h + 60 * m + s + patient.key.seconds(patient.identity)) % 86400
    moved = f"{second // 3600:02}{second // 60 % 60:02}{second % 60:02}"
    return f"{moved}.{fraction}" if fraction else moved


def _date_time(value: Any, patient: Patient) -> Any:
    text = str(value).strip()
    day, time = _date(text[:8], patient), _time(text[8:].split("+")[0].split("-")[0], patient)
    return day and time and day + time


def _age(value: Any, patient: Patient) -> Any:
    text = str(value or "").strip().upper()
    if len(text) == 4 and text[:3].isdecimal() and text[3] in "DWMY":
        years = int(text[:3]) if text[3] == "Y" else 0
    else:
        born, seen = parsed_date(patient.birth_date), parsed_date(patient.study_date)
        if born is None or seen is None or seen < born:
            return None
        years = (seen - born).days * 100 // 36525
    return f"{min(years, OLDEST_TOLD) // 10 * 10:03}Y"


def _technical(value: Any, patient: Patient) -> Any:
    words = vocabulary.technical_words(" ".join(map(str, _parts(value)))).split()
    return " ".join(word for word in words if word not in patient.names)[:64] or None


def _contrast_agent(value: Any, _: Patient) -> Any:
    stated = " ".join(str(part) for part in _parts(value)).strip().casefold()
    absent = {"", "none", "no", "n", "nil", "without", "nativ", "native", "ohne", "sans", "0", "-"}
    return None if stated in absent else "CONTRAST AGENT"


def _manufacturer(value: Any, _: Patient) -> Any:
    return vocabulary.manufacturer(str(value))


def _model(value: Any, patient: Patient) -> Any:
    words = vocabulary.model(str(value)).split()
    return " ".join(w for w in words if vocabulary.plain(w) not in patient.names) or None


def _kernel(value: Any, patient: Patient) -> Any:
    """Kernels of no maker's naming still tell stacks of one series apart."""
    words = [str(part) for part in _parts(value) if str(part).strip()]
    return [vocabulary.kernel(word) or patient.key.label(word) for word in words] or None


def _label(value: Any, patient: Patient) -> Any:
    return patient.key.label(str(value)) if str(value).strip() else None


_IMAGE_TYPES = _words(
    *(
        "ORIGINAL",
        "DERIVED",
        "MIXED",
        "PRIMARY",
        "SECONDARY",
        "AXIAL",
        "LOCALIZER",
        "SCOUT",
        "HELIX",
    ),
    *("VOLUME", "MPR", "REFORMATTED", "AVERAGE", "MEAN", "CT_SOM5", "CT_SOM7", "CT_SOM8", "SPI"),
    *("SPIRAL", "SEQ", "STD", "NORM", "ENHANCED", "RESAMPLED", "NONE", "CORONAL", "SAGITTAL"),
    *("MIP", "MAX_IP", "MINIP", "MNIP", "MIN_IP", "MPR THICK MIP", "VRT", "VOLREN", "SSD"),
    *("VOLUME_RENDER", "SURFACE_RENDER", "PROJECTION IMAGE", "REF_SURVIEW", "MULTIPLANAR"),
    *("ANGIO", "CARDIAC", "PERFUSION", "FLUORO", "DYNAMIC", "STATIONARY", "CONSTANT_ANGLE"),
    *("ENERGY_PROP_WT", "VIRTUAL MONO", "VIRTUAL_MONOENERGETIC", "IODINE", "VNC", "DET_DOSE"),
)
_BODY_PARTS = _words(
    *("HEAD", "NECK", "HEADNECK", "BRAIN", "SKULL", "FACE", "SINUS", "ORBIT", "IAC", "CHEST"),
    *("THORAX", "LUNG", "HEART", "CORONARY", "AORTA", "ABDOMEN", "PELVIS", "ABDOMENPELVIS"),
    *("CHESTABDOMEN", "CHESTABDPELVIS", "ABDOMEN_PELVIS", "CHEST_ABDOMEN", "LIVER", "KIDNEY"),
    *("PANCREAS", "SPINE", "CSPINE", "TSPINE", "LSPINE", "SSPINE", "HIP", "KNEE", "ANKLE", "FOOT"),
    *("SHOULDER", "ELBOW", "WRIST", "HAND", "EXTREMITY", "LEG", "ARM", "WHOLEBODY", "TRUNK"),
)
_FARTHEST_MM = 1e5
_POSITIONS = _words("HFS", "HFP", "HFDR", "HFDL", "FFS", "FFP", "FFDR", "FFDL")
_COUNT = _numbers(0, 99_999)
_STORED = _numbers(-65_536, 65_535)
_LENGTH_MM = _numbers(0, 1000)

CLEANED: Mapping[str, Cleaner] = {
    # identity, made with the key
    "SOPClassUID": _class_uid,
    "SOPInstanceUID": _uid,
    "StudyInstanceUID": _uid,
    "SeriesInstanceUID": _uid,
    "FrameOfReferenceUID": _uid,
    "PatientID": _patient_id,
    "StackID": _label,
    # the patient, as groups
    "PatientSex": _words("M", "F", "O"),
    "PatientAge": _age,
    # dates and times, shifted
    **dict.fromkeys(("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"), _date),
    **dict.fromkeys(("StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime"), _time),
    **dict.fromkeys(("ContrastBolusStartTime", "ContrastBolusStopTime"), _time),
    **dict.fromkeys(("AcquisitionDateTime", "FrameAcquisitionDateTime"), _date_time),
    # words of a vocabulary
    "Modality": _words("CT"),
    "ImageType": _IMAGE_TYPES,
    "FrameType": _IMAGE_TYPES,
    "BodyPartExamined": _BODY_PARTS,
    "PatientPosition": _POSITIONS,
    "PhotometricInterpretation": _words("MONOCHROME1", "MONOCHROME2"),
    "RescaleType": _words("HU", "HU_MOD", "US"),
    "ContrastBolusAgent": _contrast_agent,
    "ContrastBolusRoute": _words("IV", "INTRAVENOUS", "ORAL", "RECTAL", "INTRA-ARTERIAL"),
    **dict.fromkeys(("SeriesDescription", "ProtocolName", "StudyDescription"), _technical),
    # the scanner
    "Manufacturer": _manufacturer,
    "ManufacturerModelName": _model,
    "ConvolutionKernel": _kernel,
    "KVP": _numbers(20, 200),
    "GantryDetectorTilt": _numbers(-90, 90),
    # geometry
    "ImagePositionPatient": _numbers(-_FARTHEST_MM, _FARTHEST_MM),
    "ImageOrientationPatient": _numbers(-1.1, 1.1),
    "PixelSpacing": _LENGTH_MM,
    "SliceThickness": _LENGTH_MM,
    "SpacingBetweenSlices": _numbers(-1000, 1000),
    # order, and what tells passes over the same positions apart
    **dict.fromkeys(("SeriesNumber", "AcquisitionNumber", "InstanceNumber"), _COUNT),
    **dict.fromkeys(("TemporalPositionIdentifier", "TemporalPositionIndex"), _COUNT),
    "NominalPercentageOfCardiacPhase": _numbers(0, 100),
    "TriggerTime": _COUNT,
    # pixels
    **dict.fromkeys(("SamplesPerPixel", "NumberOfFrames", "Rows", "Columns"), _COUNT),
    **dict.fromkeys(("BitsAllocated", "BitsStored", "HighBit"), _numbers(0, 64)),
    "PixelRepresentation": _numbers(0, 1),
    **dict.fromkeys(("PixelPaddingValue", "PixelPaddingRangeLimit"), _STORED),
    **dict.fromkeys(("RescaleIntercept", "RescaleSlope"), _STORED),
    **dict.fromkeys(("WindowCenter", "WindowWidth"), _STORED),
}
"""Every element that survives outside pixel data and functional groups, with what it becomes."""

GROUPS = (
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("PixelMeasuresSequence", "PlanePositionSequence", "PlaneOrientationSequence"),
    *("FrameContentSequence", "PixelValueTransformationSequence", "FrameVOILUTSequence"),
    *("CTImageFrameTypeSequence", "CTReconstructionSequence", "CTXRayDetailsSequence"),
    *("CTAcquisitionDetailsSequence",),
)
"""The functional groups, whose items are treated as the header is."""

PIXELS = ("PixelData",)


def tag_of(keyword: str) -> int:
    """The tag of a keyword of the standard."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    return tag


def numbers_in(value: Any) -> float | list[float] | None:
    """A number, or several; None where a value is none, or not finite."""
    try:
        numbers = [float(part) for part in _parts(value)]
    except (ValueError, TypeError):
        return None
    if not numbers or not all(map(math.isfinite, numbers)):
        return None
    return numbers[0] if len(numbers) == 1 else numbers


def is_standard(uid: str) -> bool:
    """Whether a UID is one that the standard itself assigns."""
    return bool(UID(uid).type)


def parsed_date(text: str) -> date | None:
    """A complete, valid date; None for anything else."""
    text = text.strip().replace(".", "") if len(text.strip()) == 10 else text.strip()
    if len(text) != 8 or not text.isdecimal():
        return None
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None


def _moved(text: str, patient: Patient) -> date | None:
    day = parsed_date(text)
    if day is None or day.year < 1900:
        return None
    return day + timedelta(days=patient.key.days(patient.identity))


def _parts(value: Any) -> Iterable[Any]:
    if value is None:
        return ()
    return value if isinstance(value, MultiValue | list | tuple) else (value,)
