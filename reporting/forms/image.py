"""A draft as a picture of its page: Secondary Capture (PS3.3 A.8.1), which any viewer shows."""

from __future__ import annotations

import numpy as np
import pypdfium2
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from reporting.forms.pdf import pdf_page
from reporting.forms.source import new_object

FORM = "image"
# A4 becomes 1,240 pixels wide: small print stays legible, and a page takes 2 MB
_PIXELS_A_POINT = 1240 / 595.28


def page_image(sr: Dataset) -> Dataset:
    """Make the Secondary Capture of an Enhanced SR; several pages stand below one another."""
    made = new_object(sr, FORM, SecondaryCaptureImageStorage, "OT")
    made.ConversionType = "WSD"
    made.BurnedInAnnotation = "YES"
    made.PatientOrientation = None
    made.ImageLaterality = "U"  # a page has no side; without it Laterality is asked for (C.7.3.1)
    made.ImageType = ["DERIVED", "SECONDARY"]
    pixels = draw(sr)
    made.SamplesPerPixel = 1
    made.PhotometricInterpretation = "MONOCHROME2"
    made.Rows, made.Columns = pixels.shape
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit = 7
    made.PixelRepresentation = 0
    content = pixels.tobytes()
    made.PixelData = content + b"\0" * (len(content) % 2)
    return made


def draw(sr: Dataset) -> NDArray[np.uint8]:
    """Draw the pages of a report as one grey image, shape (rows, columns)."""
    with pypdfium2.PdfDocument(pdf_page(sr)) as document:
        pages = [
            document[number].render(scale=_PIXELS_A_POINT, grayscale=True).to_numpy()
            for number in range(len(document))
        ]
    return np.vstack([page.reshape(page.shape[:2]) for page in pages])
