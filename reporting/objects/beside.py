"""What stands beside a draft for viewers: its evidence as a segmentation, and key images.

Both are filed with the draft and found from its UIDs: no list is kept of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import highdicom
import numpy as np
from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from highdicom.seg import Segmentation, SegmentDescription
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.dataset import FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from dicom_io.device import DEVICE_UID, MANUFACTURER, MODEL_NAME, uid_in_form
from reporting.draft import SERIES_NOTICE
from reporting.patient import copy_identity

SEGMENTATION, KEY_IMAGES = "evidence", "key-images"
"""Names of the objects; their UIDs are the draft's in these forms (`plugin.state.kept.beside`)."""

# Beyond those of the draft's forms (`reporting.forms.source`): 9000 + 400 + revision
_SERIES = {SEGMENTATION: 400, KEY_IMAGES: 450}
_LABEL = 64  # LO, PS3.5 6.2
# What highdicom copies of the images, and odd values of the CT would stop
_COPIED = ("PatientID", "PatientName", "PatientSex", "AccessionNumber", "StudyID")
_DATES = ("PatientBirthDate", "StudyDate", "StudyTime")


@dataclass(frozen=True, eq=False)
class Region:
    """Where a sentence comes from.

    Parameters
    ----------
    sentence : str
        Its words.
    uids : tuple of str
        SOP Instance UIDs of the slices, in order.
    mask : ndarray of bool, shape (slices, rows, columns)
        The pixels of these slices.
    """

    sentence: str
    uids: tuple[str, ...]
    mask: NDArray[np.bool_]


@disable_value_validation()  # its warnings would tell the CT's odd values, identifiers among them
def objects_beside(
    sr: Dataset, headers: Sequence[Dataset], regions: Sequence[Region]
) -> tuple[Dataset, ...]:
    """Make the segmentation and the key images of a draft.

    Parameters
    ----------
    sr : pydicom.Dataset
        The draft's Enhanced SR.
    headers : sequence of pydicom.Dataset
        Of the slices, one image each.
    regions : sequence of Region
        In the order of the sentences; none makes no objects.

    Raises
    ------
    ValueError, TypeError, KeyError, AttributeError
        The images lack what these objects need.
    """
    if not regions:
        return ()
    known = {str(header.SOPInstanceUID): header for header in headers}
    named = dict.fromkeys(uid for region in regions for uid in region.uids)
    images = [_disguised(known[uid]) for uid in known if uid in named]
    middles = dict.fromkeys(region.uids[len(region.uids) // 2] for region in regions)
    key_images = [image for image in images if str(image.SOPInstanceUID) in middles]
    made = (
        (SEGMENTATION, _segmentation(sr, images, regions)),
        (KEY_IMAGES, _key_images(sr, key_images)),
    )
    return tuple(_filed(name, sr, one) for name, one in made)


def _segmentation(sr: Dataset, images: Sequence[Dataset], regions: Sequence[Region]) -> Dataset:
    index = {str(image.SOPInstanceUID): i for i, image in enumerate(images)}
    pixels = np.zeros((len(images), *regions[0].mask.shape[1:], len(regions)), np.uint8)
    for segment, region in enumerate(regions):
        pixels[[index[uid] for uid in region.uids], :, :, segment] = region.mask
    name, _, version = str(sr.SoftwareVersions[1]).rpartition(" ")
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=name or MODEL_NAME, family=codes.DCM.ArtificialIntelligence, version=version
    )
    described = [
        SegmentDescription(
            segment_number=number,
            segment_label=f"AI evidence: {region.sentence}"[:_LABEL],
            segmented_property_category=codes.SCT.SpatialAndRelationalConcept,
            segmented_property_type=codes.DCM.SelectedRegion,
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
        )
        for number, region in enumerate(regions, start=1)
    ]
    return Segmentation(
        source_images=images,
        pixel_array=pixels,
        segmentation_type="BINARY",
        segment_descriptions=described,
        content_description="Where the sentences of an AI draft come from",
        content_label="AI_EVIDENCE",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=tuple(sr.SoftwareVersions),
        device_serial_number="none",
        **_numbers(SEGMENTATION, sr),
    )


def _key_images(sr: Dataset, images: Sequence[Dataset]) -> Dataset:
    return KeyObjectSelectionDocument(
        evidence=images,
        content=KeyObjectSelection(
            codes.DCM.OfInterest, images, description="Middle slices of the evidence of an AI draft"
        ),
        manufacturer=MANUFACTURER,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **_numbers(KEY_IMAGES, sr),
    )


def _numbers(name: str, sr: Dataset) -> dict[str, Any]:
    return {
        "series_instance_uid": uid_in_form(str(sr.SeriesInstanceUID), name),
        "sop_instance_uid": uid_in_form(str(sr.SOPInstanceUID), name),
        "series_number": int(sr.SeriesNumber) + _SERIES[name],
        "instance_number": 1,
    }


def _disguised(header: Dataset) -> Dataset:
    """Copy a header without its identity; the draft's own takes its place afterwards."""
    image = Dataset()
    image.update(header)
    for keyword in _COPIED:
        setattr(image, keyword, "")
    for keyword in _DATES:
        setattr(image, keyword, None)
    return image


def _filed(name: str, sr: Dataset, made: Dataset) -> Dataset:
    dataset = Dataset()
    dataset.update(made)
    dataset.file_meta = FileMetaDataset(made.file_meta)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ManufacturerModelName, dataset.DeviceUID = MODEL_NAME, DEVICE_UID
    dataset.SeriesDescription = f"{SERIES_NOTICE}, {name}"
    for keyword in ("ContentDate", "ContentTime", "SeriesDate", "SeriesTime"):
        setattr(dataset, keyword, sr.get(keyword))
    copy_identity(sr, dataset)
    return dataset
