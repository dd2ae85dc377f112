from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from reporting.technique import technique_sentences
from tests.reporting.studies import ct_header


def told(headers, **arguments):
    return " ".join(technique_sentences(headers, **arguments))


def series(count=4, **attributes):
    return [ct_header(number, **attributes) for number in range(1, count + 1)]


def test_the_headers_are_told():
    text = told(
        series(
            Manufacturer="SIEMENS",
            ManufacturerModelName="Force",
            BodyPartExamined="CHEST",
            ContrastBolusAgent="Iomeprol",
            ConvolutionKernel=["Br40d", "3"],
        )
    )
    assert "CT scanner: SIEMENS Force." in text
    assert "Series 2 was used: 4 images, body part CHEST." in text
    assert (
        "Slice thickness: 5 mm; slice spacing: 5 mm; coverage from first to last slice: 15" in text
    )
    assert "Tube voltage: 120 kVp." in text
    assert "Contrast agent: Iomeprol." in text
    assert "kernel: Br40d, 3." in text


def test_what_the_headers_lack_is_not_stated():
    lines = technique_sentences([Dataset()])
    assert len(lines) == 2
    assert lines[0].startswith("A series without a number was used: 1 image.")
    assert lines[1].startswith("CT scanner: not stated in the headers.")
    assert sum(line.count("not stated") for line in lines) == 7


def test_spacing_comes_from_positions_in_any_order():
    headers = series(3)
    headers[2].ImagePositionPatient = [0, 0, 20]
    assert "slice spacing: 5 to 10 mm" in told(headers[::-1])


def test_free_text_of_the_series_stays_out():
    assert "Jane" not in told(series(SeriesDescription="Jane Doe", ProtocolName="Jane"))


def test_corrections_are_told_last():
    lines = technique_sentences(series(), corrections=["Gantry tilt was corrected", ""])
    assert lines[-1] == "Gantry tilt was corrected."


def test_a_number_that_is_none_is_not_stated():
    header = ct_header(KVP=None)
    tag = Tag("KVP")
    header[tag] = RawDataElement(tag, "DS", 4, b"high", 0, False, True)
    assert "Tube voltage: not stated" in told([header])


def test_functional_groups_of_a_multi_frame_are_read():
    header = ct_header(
        ImageOrientationPatient=None, ImagePositionPatient=None, SliceThickness=None, KVP=None
    )
    header.NumberOfFrames = 3
    header.SharedFunctionalGroupsSequence = [
        group(
            PixelMeasuresSequence={"SliceThickness": 2},
            PlaneOrientationSequence={"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
            CTXRayDetailsSequence={"KVP": 100},
        )
    ]
    header.PerFrameFunctionalGroupsSequence = [
        group(PlanePositionSequence={"ImagePositionPatient": [0, 0, z]}) for z in (0, 2, 4)
    ]
    text = told([header])
    assert "3 images" in text
    assert (
        "Slice thickness: 2 mm; slice spacing: 2 mm; coverage from first to last slice: 4" in text
    )
    assert "100 kVp" in text


def group(**macros):
    item = Dataset()
    for keyword, attributes in macros.items():
        macro = Dataset()
        for name, value in attributes.items():
            setattr(macro, name, value)
        setattr(item, keyword, [macro])
    return item


def test_positions_that_differ_by_their_rounding_are_one_spacing():
    headers = [ct_header(k, SliceThickness=0.625) for k in range(3)]
    for header, z in zip(headers, (0, 0.62, 1.25), strict=True):
        header.ImagePositionPatient = [0, 0, z]
    assert "slice spacing: 0.625 mm" in told(headers)
