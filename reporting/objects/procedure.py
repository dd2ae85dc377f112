"""Which procedure a report is about: the code of the order, else the region that was scanned."""

from collections.abc import Iterator

from pydicom import Dataset
from pydicom.sr.coding import Code

from reporting.objects.concepts import ANY_CT

# BodyPartExamined (PS3.16 table L-1, letters only) to SNOMED CT's procedures
_REGIONS = {
    ("HEAD", "BRAIN", "SKULL"): Code("303653007", "SCT", "CT of head"),
    ("NECK",): Code("169068008", "SCT", "CT of neck"),
    ("CHEST", "THORAX", "LUNG"): Code("169069000", "SCT", "CT of chest"),
    ("HEART", "CARDIAC"): Code("241547009", "SCT", "CT of heart"),
    ("ABDOMEN",): Code("169070004", "SCT", "CT of abdomen"),
    ("PELVIS",): Code("169071000", "SCT", "CT of pelvis"),
    ("CHESTABDOMEN", "CHESTABD", "THORAXABDOMEN"): Code(
        "418891003", "SCT", "CT of chest and abdomen"
    ),
    ("ABDOMENPELVIS", "ABDPELVIS"): Code("419394006", "SCT", "CT of abdomen and pelvis"),
    ("CHESTABDPELVIS", "CHESTABDOMENPELVIS", "THORAXABDOMENPELVIS"): Code(
        "418023006", "SCT", "CT of chest, abdomen and pelvis"
    ),
}
_BY_NAME = {name: code for names, code in _REGIONS.items() for name in names}


def procedure_of(source: Dataset) -> Code:
    """Return the procedure that a CT belongs to.

    The study's own code, that of the request, or the region in BodyPartExamined; where none of
    them says anything, CT of an unspecified region.
    """
    for item in _coded(source):
        value, scheme, meaning = (
            str(item.get(keyword) or "").strip()
            for keyword in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
        )
        if value and scheme and meaning and len(value) <= 16 and len(meaning) <= 64:
            return Code(value, scheme, meaning)
    region = "".join(filter(str.isalpha, str(source.get("BodyPartExamined") or "").upper()))
    return _BY_NAME.get(region, ANY_CT)


def _coded(source: Dataset) -> Iterator[Dataset]:
    yield from source.get("ProcedureCodeSequence") or []
    yield from source.get("RequestedProcedureCodeSequence") or []
    for request in source.get("RequestAttributesSequence") or []:
        yield from request.get("RequestedProcedureCodeSequence") or []
