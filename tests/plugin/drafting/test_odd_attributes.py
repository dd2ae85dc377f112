"""Whatever an attribute holds: a draft, one that names the image it lacks, or a clear error."""

import struct
from contextlib import suppress

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian

from dicom_io.errors import CtscribeError, DicomError
from dicom_io.slices.read import read_studies
from engine.fake import FakeEngine
from plugin.drafting.writing.pipeline import Pipeline
from tests.ct import ct_stack

AFFINE = np.array([[0, 0, 2, 0], [0, 2, 0, 0], [5, 0, 0, 0], [0, 0, 0, 1]], float)
PIPELINE = Pipeline(FakeEngine("Findings: Ascites. Impression: Ascites."))

# What a draft does without. The sorted rest of what is read of a CT is NEEDED
OPTIONAL = (
    "AcquisitionDateTime",
    "AcquisitionNumber",
    "AcquisitionTime",
    "BodyPartExamined",
    "ContrastBolusAgent",
    "ContrastBolusRoute",
    "DeviceUID",
    "FrameAcquisitionNumber",
    "FrameType",
    "InstanceNumber",
    "IrradiationEventUID",
    "KVP",
    "Manufacturer",
    "ManufacturerModelName",
    "NominalPercentageOfCardiacPhase",
    "PatientAge",
    "PatientBirthDate",
    "PatientSex",
    "PerFrameFunctionalGroupsSequence",
    "PixelPaddingRangeLimit",
    "PixelPaddingValue",
    "ProcedureCodeSequence",
    "ReferringPhysicianName",
    "RequestAttributesSequence",
    "RequestedProcedureCodeSequence",
    "SamplesPerPixel",
    "SeriesDescription",
    "SeriesNumber",
    "SeriesTime",
    "SharedFunctionalGroupsSequence",
    "SliceThickness",
    "StudyDate",
    "StudyDescription",
    "StudyID",
    "StudyTime",
    "TableHeight",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "TriggerTime",
    "WindowCenter",
    "WindowWidth",
)
NEEDED = (
    "BitsAllocated",
    "BitsStored",
    "Columns",
    "ConvolutionKernel",
    "HighBit",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "ImageType",
    "Modality",
    "MonoenergeticEnergyEquivalent",
    "NumberOfFrames",
    "PhotometricInterpretation",
    "PixelRepresentation",
    "PixelSpacing",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "Rows",
    "SOPClassUID",
    "SOPInstanceUID",
    "SpecificCharacterSet",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "PatientName",
    "PatientID",
    "AccessionNumber",
)
# Of these no image may leave a doubt; a StudyInstanceUID puts it into a study of its own
ABOUT_THE_PATIENT = (
    "StudyInstanceUID",
    "PatientName",
    "PatientID",
    "AccessionNumber",
    "SpecificCharacterSet",
)
VRS = ("DS", "IS", "US", "SS", "UL", "FD", "OB", "OW", "UN", "LO", "CS", "PN", "SQ", "AT", "UI")
ODD_VRS = ("??", "  ", "\0\0", "ZZ")

attributes = st.sampled_from(OPTIONAL + NEEDED)
representations = st.sampled_from((None, *VRS, *ODD_VRS))
values = st.one_of(
    st.binary(max_size=12).map(lambda value: value + bytes(len(value) % 2)),
    st.sampled_from(
        [
            b"",
            b"\\",
            b"1,5 ",
            b"40\\",
            b"1e999 ",
            b"nan ",
            b"-1",
            b"999999999999999999",
            b"1\\2\\3\\4\\5\\6\\7\\8 ",
            b"ORIGINAL\\PRIMARY",
            b"\x1b$)C\x00\x00",
            b"\xfe\xff\x00\xe0\xff\xff\xff\xff",
        ]
    ),
)


IMAGES = ct_stack(np.arange(8 * 256).reshape(8, 16, 16) - 1000, AFFINE, WindowCenter=40)
LONG_VRS = ("OB", "OW", "UN", "SQ")


def write(folder, changes, keyword, vr, value):
    """Eight images; in those of the indices `changes` an attribute has bytes no library writes."""
    for k, image in enumerate(IMAGES):
        tag = Tag(tag_for_keyword(keyword))
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = image.SOPClassUID
        meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        file = DicomBytesIO()
        file.is_little_endian, file.is_implicit_VR = True, False
        file.write(bytes(128) + b"DICM")
        write_file_meta_info(file, meta)
        write_dataset(file, image[:tag] if k in changes else image)
        if k in changes:
            code = vr or dictionary_VR(tag)[:2]
            length = ("<HL", 0, len(value)) if code in LONG_VRS else ("<H", len(value))
            file.write(struct.pack("<HH", tag.group, tag.element) + code.encode())
            file.write(struct.pack(*length) + value)
            write_dataset(file, image[tag + 1 :])
        (folder / f"{k}.dcm").write_bytes(file.getvalue())
    return folder


def drafts_of(folder):
    return [PIPELINE.report_study(study) for study in read_studies([folder])]


fuzzed = settings(max_examples=40)  # as a busy machine takes its time


@fuzzed
@given(attributes, representations, values)
def test_one_image_never_costs_more_than_itself(tmp_path_factory, keyword, vr, value):
    folder = write(tmp_path_factory.mktemp("study"), {3}, keyword, vr, value)
    try:
        first, *others = drafts_of(folder)
    except DicomError:
        # no image of a study may leave a doubt about its patient
        assert keyword in ABOUT_THE_PATIENT
        return
    lost = 8 - len(first.choice.instances)
    assert lost in (0, 1)
    assert not others
    if lost:
        assert any("not read" in reason for reason in first.selection)


@fuzzed
@given(st.sampled_from(OPTIONAL), representations, values)
def test_an_optional_attribute_costs_nothing(tmp_path_factory, keyword, vr, value):
    (draft,) = drafts_of(write(tmp_path_factory.mktemp("study"), range(8), keyword, vr, value))
    assert len(draft.choice.instances) == 8
    assert draft.state == "complete"


@fuzzed
@given(attributes, representations, values)
def test_a_fault_of_every_image_is_a_draft_or_one_clear_error(tmp_path_factory, keyword, vr, value):
    with suppress(CtscribeError):
        assert drafts_of(write(tmp_path_factory.mktemp("study"), range(8), keyword, vr, value))
