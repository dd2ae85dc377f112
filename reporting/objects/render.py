"""Plain text of a draft, and of a report read back."""

import re
from collections.abc import Iterator

from pydicom import Dataset

from reporting.draft import Draft
from reporting.objects import concepts


def draft_text(draft: Draft) -> str:
    """Write a draft as plain text: notices, then each section under its heading."""
    blocks = ["\n".join(draft.notices)]
    for section in draft.sections:
        lines = [" ".join(one.shown for one in paragraph) for paragraph in section.paragraphs]
        blocks.append("\n".join([str(section.heading), *lines]))
    return "\n\n".join(blocks) + "\n"


def report_sections(dataset: Dataset) -> list[tuple[str, list[str]]]:
    """Read the sections of a report object back.

    Parameters
    ----------
    dataset : pydicom.Dataset
        An SR whose sections are containers of texts, as TID 2000 has them.

    Returns
    -------
    list of (heading, texts)
        Code meanings of the headings and every text below each, in document order.
    """
    return [
        (str(item.ConceptNameCodeSequence[0].CodeMeaning), list(_texts(item)))
        for item in dataset.get("ContentSequence") or []
        if item.get("ValueType") == "CONTAINER"
    ]


def report_text(dataset: Dataset) -> str:
    """Write a report object as plain text, each section under its heading."""
    blocks = ["\n".join([heading, *texts]) for heading, texts in report_sections(dataset)]
    return "\n\n".join(blocks) + "\n"


def level_of(item: Dataset) -> str | None:
    """Return the word that an item of a report codes, if it says how sure the model is."""
    if item.get("ValueType") != "CODE":
        return None
    name, value = item.ConceptNameCodeSequence[0], item.ConceptCodeSequence[0]
    if name.get("CodeValue") != concepts.CONFIDENCE.value:
        return None
    words = {code.value: word for word, code in concepts.LEVELS.items()}
    return words.get(str(value.CodeValue))


def document_lines(document: Dataset) -> list[str]:
    """Write any Structured Report as lines: headings, texts, codes and measurements.

    Parameters
    ----------
    document : pydicom.Dataset
        Of whatever template, written by anybody. Who observed, in which language, and references
        to images are left out.
    """
    return list(_lines(document))


def _lines(item: Dataset) -> Iterator[str]:
    for child in item.get("ContentSequence") or []:
        if child.get("RelationshipType") in _ABOUT_THE_REPORT:
            continue
        kind, name = child.get("ValueType"), _meaning(child, "ConceptNameCodeSequence")
        if kind == "CONTAINER":
            yield from ["", name] if name else []
        elif kind == "TEXT":
            yield from re.split(r"\r\n?|\n", str(child.get("TextValue") or ""))
        elif kind == "CODE":
            yield f"{name}: {_meaning(child, 'ConceptCodeSequence')}"
        elif kind == "NUM":
            for one in child.get("MeasuredValueSequence") or []:
                unit = _meaning(one, "MeasurementUnitsCodeSequence", "CodeValue")
                yield f"{name}: {one.get('NumericValue', '')} {unit}".rstrip()
        yield from _lines(child)


# PS3.3 C.17.3.2.4: modifiers of a concept, the observer, and when it was acquired
_ABOUT_THE_REPORT = ("HAS CONCEPT MOD", "HAS OBS CONTEXT", "HAS ACQ CONTEXT")


def _meaning(item: Dataset, sequence: str, keyword: str = "CodeMeaning") -> str:
    codes = item.get(sequence) or []
    return str(codes[0].get(keyword) or "") if codes else ""


def _texts(item: Dataset) -> Iterator[str]:
    if item.get("ValueType") == "TEXT":
        yield str(item.TextValue).replace("\r\n", " ")
    for child in item.get("ContentSequence") or []:
        yield from _texts(child)
