"""Which regions a header names, and when a model for others abstains."""

import pytest
from pydicom import Dataset

from plugin.drafting.writing.regions import reason_to_withhold, regions_named


def header(**values: str) -> Dataset:
    found = Dataset()
    for keyword, value in values.items():
        setattr(found, keyword, value)
    return found


@pytest.mark.parametrize(
    ("part", "regions"),
    [
        ("HEAD", {"head"}),
        ("CHEST", {"chest"}),
        ("CHEST_TO_PELVIS", {"chest", "pelvis"}),
        ("CHESTABDPELVIS", {"chest", "abdomen", "pelvis"}),
        ("Thorax/Abdomen", {"chest", "abdomen"}),
        ("HEADNECK", {"head", "neck"}),
        ("CSPINE", {"spine"}),
        ("KNEE", {"extremities"}),
        ("WHOLEBODY", set()),
        ("", set()),
    ],
)
def test_body_part_examined_names_regions(part, regions):
    assert regions_named(header(BodyPartExamined=part)) == regions


@pytest.mark.parametrize(
    ("description", "regions"),
    [
        ("CT HEAD W/O CONTRAST", {"head"}),
        ("CT Thorax + Abdomen", {"chest", "abdomen"}),
        ("Ct hrct lungs", {"chest"}),
        ("Routine", set()),
    ],
)
def test_without_it_the_descriptions_do(description, regions):
    assert regions_named(header(StudyDescription=description)) == regions


def test_the_body_part_goes_before_a_description():
    named = regions_named(header(BodyPartExamined="ABDOMEN", StudyDescription="CT CHEST"))
    assert named == {"abdomen"}


def test_a_head_is_withheld_from_a_model_for_the_chest():
    reason = reason_to_withhold(("chest",), header(BodyPartExamined="HEAD"))
    assert reason == ("the study shows the head, and the model was trained on images of the chest")


@pytest.mark.parametrize(
    ("regions", "part"), [((), "HEAD"), (("chest",), ""), (("chest", "abdomen"), "ABDOMENPELVIS")]
)
def test_where_nothing_speaks_against_it_the_model_writes(regions, part):
    assert reason_to_withhold(regions, header(BodyPartExamined=part)) is None
