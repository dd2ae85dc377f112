"""A draft as Basic Text SR (PS3.3 A.35.1): the same content tree under the older class."""

from copy import deepcopy

from pydicom import Dataset
from pydicom.uid import BasicTextSRStorage

from dicom_io.device import uid_in_form
from reporting.forms.source import name_in_form

FORM = "text-sr"


def text_sr(sr: Dataset) -> Dataset:
    """Make the Basic Text SR of an Enhanced SR; nothing of its content is lost.

    What it replaces is named by the UID that the earlier draft has in this form.
    """
    made = deepcopy(sr)
    made.SOPClassUID = BasicTextSRStorage
    made.file_meta.MediaStorageSOPClassUID = BasicTextSRStorage
    name_in_form(made, sr, FORM)
    for study in made.get("PredecessorDocumentsSequence") or []:
        for series in study.ReferencedSeriesSequence:
            series.SeriesInstanceUID = uid_in_form(series.SeriesInstanceUID, FORM)
            for instance in series.ReferencedSOPSequence:
                instance.ReferencedSOPClassUID = BasicTextSRStorage
                uid = uid_in_form(instance.ReferencedSOPInstanceUID, FORM)
                instance.ReferencedSOPInstanceUID = uid
    return made
