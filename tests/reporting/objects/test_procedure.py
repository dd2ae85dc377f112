import pytest
from pydicom import Dataset

from reporting.objects.procedure import procedure_of
from tests.reporting.studies import ct_header


def coded(value="CTTHX", scheme="99X", meaning="CT thorax"):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def request(item):
    made = Dataset()
    made.RequestedProcedureCodeSequence = [item]
    return made


@pytest.mark.parametrize(
    "attributes",
    [
        {"ProcedureCodeSequence": [coded()]},
        {"RequestedProcedureCodeSequence": [coded()]},
        {"RequestAttributesSequence": [request(coded())]},
        {
            "ProcedureCodeSequence": [coded(scheme="")],
            "RequestAttributesSequence": [request(coded())],
        },
    ],
)
def test_the_code_of_the_order_comes_first(attributes):
    header = ct_header(BodyPartExamined="HEAD", **attributes)
    assert procedure_of(header).meaning == "CT thorax"


@pytest.mark.parametrize(
    ("region", "meaning"),
    [
        ("CHESTABDOMEN", "CT of chest and abdomen"),
        ("CHEST_ABDOMEN", "CT of chest and abdomen"),
        ("CHEST ABDOMEN", "CT of chest and abdomen"),
        ("ABDOMENPELVIS", "CT of abdomen and pelvis"),
        ("CHESTABDPELVIS", "CT of chest, abdomen and pelvis"),
        ("BRAIN", "CT of head"),
        ("KNEE", "CT unspecified body region"),
        (None, "CT unspecified body region"),
    ],
)
def test_else_the_region_is_named(region, meaning):
    assert procedure_of(ct_header(BodyPartExamined=region)).meaning.lower() == meaning.lower()
