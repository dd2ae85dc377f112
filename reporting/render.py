"""Plain text of a draft, and of a report read back."""

from collections.abc import Iterator

from pydicom import Dataset

from reporting.draft import Draft


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


def _texts(item: Dataset) -> Iterator[str]:
    if item.get("ValueType") == "TEXT":
        yield str(item.TextValue).replace("\r\n", " ")
    for child in item.get("ContentSequence") or []:
        yield from _texts(child)
