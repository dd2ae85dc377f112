"""Identifiers in every place of a DICOM object that can hold one."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from pydicom import Dataset, Sequence
from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.tag import Tag

from training.site.deidentify.headers import quiet

MARK = "Zqxw"
"""In every planted text, in this or in capitals."""
NUMBER = "77665544"
DATE = "19711117"
UID = "1.2.826.0.1.999777.5"
BINARY = int.from_bytes(b"Zqxw", "little")
FLOAT = 776655.4375

PLANTED = (MARK, NUMBER, DATE, UID, "776655.4375")
"""What must be nowhere."""

_TEXT: dict[str, Any] = {
    "AE": f"{MARK}AE",
    "AS": "091Y",
    "CS": f"{MARK.upper()}CS",
    "DA": DATE,
    "DS": NUMBER,
    "DT": f"{DATE}0102{NUMBER[:2]}",
    "IS": NUMBER,
    "LO": f"{MARK}lo Erika",
    "LT": f"{MARK}lt Erika",
    "PN": f"{MARK}pn^Erika={MARK}ideo^山田={MARK}phon",
    "SH": f"{MARK}sh",
    "ST": f"{MARK}st Erika",
    "TM": "010277.665544",
    "UC": f"{MARK}uc",
    "UI": UID,
    "UR": f"http://{MARK}.ur/",
    "UT": f"{MARK}ut Erika",
}
_BINARY: dict[str, Any] = {
    **dict.fromkeys(("OB", "OD", "OF", "OL", "OV", "OW", "UN"), MARK.encode() * 4),
    **dict.fromkeys(("FD", "FL"), FLOAT),
    **dict.fromkeys(("SL", "SV", "UL", "UV"), BINARY),
    **dict.fromkeys(("SS", "US"), 0x715A),
    "AT": 0x77665544,
}
VALUES = {**_TEXT, **_BINARY}

# What makes an image a picture of a screen, or no image that a volume is made of
_NEEDED = frozenset(
    (
        "SOPClassUID",
        "SOPInstanceUID",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "Modality",
        "ImageType",
        "FrameType",
        "ConversionType",
        "BurnedInAnnotation",
        "RecognizableVisualFeatures",
        "SpecificCharacterSet",
        "NumberOfFrames",
        "RescaleType",
        "RescaleSlope",
        "RescaleIntercept",
        "PixelPaddingValue",
        "PixelPaddingRangeLimit",
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "SliceThickness",
        "InstanceNumber",
        "GantryDetectorTilt",
        "PerFrameFunctionalGroupsSequence",
        "SharedFunctionalGroupsSequence",
        "PixelData",
        "FloatPixelData",
        "DoubleFloatPixelData",
        "ExtendedOffsetTable",
        "ExtendedOffsetTableLengths",
        "PatientID",
        "PatientName",
        "AccessionNumber",
        "StudyDate",
        "PatientBirthDate",
        "ModalityLUTSequence",
        "LengthToEnd",
    )
)


def plant(dataset: Dataset) -> int:
    """Fill every element of the standard, and private ones of every VR; return how many."""
    count = 0
    with quiet():
        for tag, vr in _elements():
            dataset.add_new(tag, vr, _nested() if vr == "SQ" else VALUES[vr])
            count += 1
        for n, (vr, value) in enumerate(VALUES.items()):
            block = dataset.private_block(0x0099, f"{MARK} CREATOR", create=True)
            block.add_new(n + 1, vr, value)
        block.add_new(0xFE, "SQ", _nested())
        dataset.add_new((0x6000, 0x3000), "OW", MARK.encode() * 4)
        dataset.add_new((0x6000, 0x4000), "LT", MARK)
        dataset.add_new((0x5000, 0x2500), "LO", MARK)
    return count


def plant_meta(dataset: Dataset) -> None:
    """Fill what stands before the data set in a file."""
    meta = dataset.file_meta
    with quiet():
        meta.SourceApplicationEntityTitle = f"{MARK}META"
        meta.SendingApplicationEntityTitle = f"{MARK}META"
        meta.ReceivingApplicationEntityTitle = f"{MARK}META"
        meta.ImplementationVersionName = f"{MARK}VERSION"
        meta.ImplementationClassUID = UID
        meta.PrivateInformationCreatorUID = UID
        meta.PrivateInformation = MARK.encode() * 8
    dataset.preamble = (MARK.encode() * 32)[:128]


def traces() -> Iterator[bytes]:
    """The bytes that a planted value would leave, in any encoding."""
    for value in PLANTED:
        for spelling in {value, value.upper(), value.lower()}:
            for encoding in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le"):
                yield spelling.encode(encoding)
    yield struct.pack("<d", FLOAT)
    yield struct.pack("<f", FLOAT)


def found_in(content: bytes) -> list[bytes]:
    """The planted values that some bytes hold."""
    return [trace for trace in traces() if trace in content]


def _elements() -> Iterator[tuple[int, str]]:
    for tag, (vrs, *_) in DicomDictionary.items():
        vr = vrs.split(" or ")[-1]
        group = tag >> 16
        structure = group in (0x0002, 0x0004, 0x0028, 0x7FE0) or group < 8 or tag & 0xFFFF == 0
        known = vr in VALUES or vr == "SQ"
        if known and not structure and keyword_for_tag(Tag(tag)) not in _NEEDED:
            yield tag, vr


def _nested() -> Sequence:
    deepest, inner, outer = Dataset(), Dataset(), Dataset()
    for level in (deepest, inner, outer):
        level.PatientName, level.InstitutionName = f"{MARK}nested^Erika", f"{MARK} nested"
        level.PatientID, level.StudyDate, level.ReferencedSOPInstanceUID = NUMBER, DATE, UID
        level.private_block(0x0099, MARK, create=True).add_new(1, "LO", f"{MARK}private")
    inner.RequestAttributesSequence = Sequence([deepest])
    outer.OriginalAttributesSequence = Sequence([inner])
    return Sequence([outer])
