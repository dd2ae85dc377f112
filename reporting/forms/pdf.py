"""A draft as a page: a PDF, and the PDF as an encapsulated document (PS3.3 A.45.1)."""

from __future__ import annotations

import logging
from functools import cache
from importlib.resources import files
from typing import Any

from fontTools.ttLib import TTFont
from fpdf import FPDF
from pydicom import Dataset
from pydicom.uid import EncapsulatedPDFStorage

from dicom_io.device import MODEL_NAME
from reporting.forms.source import new_object, notice_of, written_at
from reporting.objects.render import report_sections

FORM = "pdf"
_TITLE = "Diagnostic Imaging Report"
# Noto Sans draws Latin, Greek and Cyrillic; Noto Sans CJK Chinese, Japanese and Korean
_FONTS = {
    "text": files("fontpkg_noto_sans") / "files" / "NotoSans[wdth,wght].ttf",
    "cjk": files("noto_cjk_sans_otc") / "NotoSansCJK-Regular.ttc",
}
_UNSHOWN = "(in a script that this page cannot show)"
_RED = (176, 0, 0)

# fontTools tells at level INFO of every table that it subsets
logging.getLogger("fontTools").setLevel(logging.WARNING)


def encapsulated_pdf(sr: Dataset) -> Dataset:
    """Make the Encapsulated PDF of an Enhanced SR."""
    made = new_object(sr, FORM, EncapsulatedPDFStorage, "DOC")
    made.ConversionType = "WSD"
    made.BurnedInAnnotation = "YES"
    made.AcquisitionDateTime = None
    made.DocumentTitle = f"{notice_of(sr)}. {_TITLE}"
    made.ConceptNameCodeSequence = sr.ConceptNameCodeSequence
    made.VerificationFlag = sr.VerificationFlag
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    content = pdf_page(sr)
    made.EncapsulatedDocument = content + b"\0" * (len(content) % 2)
    made.EncapsulatedDocumentLength = len(content)
    return made


def pdf_page(sr: Dataset) -> bytes:
    """Set a report on A4 pages; every page says at its top and bottom whether it is a draft."""
    page = _Page(sr)
    page.add_page()
    page.identity()
    for heading, texts in report_sections(sr):
        page.section(heading, texts)
    return bytes(page.output())


class _Page(FPDF):
    """A4 in a plain layout, with fonts that hold the names of most scripts."""

    def __init__(self, sr: Dataset) -> None:
        super().__init__(format="A4")
        self.sr = sr
        self.set_creation_date(written_at(sr).astimezone())
        self.set_title(f"{notice_of(sr)}. {_TITLE}")
        self.set_creator(MODEL_NAME)
        self.add_font("text", "", str(_FONTS["text"]))
        self.set_auto_page_break(True, margin=18)

    def header(self) -> None:
        self.set_text_color(*_RED)
        self._line(notice_of(self.sr), 16)
        self.set_text_color(0)

    def footer(self) -> None:
        self.set_y(-14)
        self.set_text_color(*_RED)
        self._line(f"{notice_of(self.sr)} - page {self.page_no()} of {{nb}}", 8)
        self.set_text_color(0)

    def identity(self) -> None:
        """Say whose report it is, and of which study."""
        for label, keyword in (
            ("Patient", "PatientName"),
            ("Patient ID", "PatientID"),
            ("Born", "PatientBirthDate"),
            ("Accession number", "AccessionNumber"),
            ("Study", "StudyDescription"),
            ("Study date", "StudyDate"),
        ):
            self._line(f"{label}: {shown(self.sr.get(keyword))}", 9)
        self.ln(2)

    def section(self, heading: str, texts: list[str]) -> None:
        """Set a heading and a paragraph for each text."""
        self.ln(2)
        self.set_text_color(70)
        self._line(heading, 10)
        self.set_text_color(0)
        for text in texts:
            self._line(drawable(text.replace("\n", " ")), 11)

    def _line(self, text: str, size: int) -> None:
        if "cjk" not in self.fonts and not _holds("text", text):
            self.add_font("cjk", "", str(_FONTS["cjk"]))  # takes a second: only where it is needed
            self.set_fallback_fonts(["cjk"], exact_match=False)
        self.set_font("text", "", size)
        self.multi_cell(0, size * 0.5, text, new_x="LMARGIN", new_y="NEXT", align="L")


def shown(value: Any) -> str:
    """Write a value of a header for a reader: dates with hyphens, names without carets."""
    parts = value if isinstance(value, list | tuple) else [value]
    return drawable("; ".join(_shown(str(part or "")) for part in parts)) or "not stated"


def _shown(text: str) -> str:
    if len(text) == 8 and text.isdigit():
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    groups = (" ".join(group.replace("^", " ").split()) for group in text.split("="))
    return " / ".join(filter(None, groups))


def drawable(text: str) -> str:
    """Return a text if the fonts hold every character of it: half a name is no name."""
    beyond = "".join(c for c in text if not _holds("text", c))
    return text if _holds("cjk", beyond) else _UNSHOWN


def _holds(font: str, text: str) -> bool:
    return not text or all(ord(c) in _characters(font) for c in text)


@cache
def _characters(font: str) -> frozenset[int]:
    with TTFont(str(_FONTS[font]), fontNumber=0, lazy=True) as opened:
        return frozenset(opened.getBestCmap())
