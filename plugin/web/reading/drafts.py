"""A draft as a page shows it: read back from its report object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pydicom import Dataset, dcmread
from sqlalchemy import select
from sqlalchemy.orm import joinedload, selectinload

from dicom_io.values import texts, whole_or_none
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.tables import Draft, Instance, Series, Study
from plugin.web.dicomweb.problems import Refused
from reporting.draft import ABSTENTION
from reporting.objects import concepts
from reporting.objects.render import level_of
from reporting.text.confidence import WITHHELD, is_about_confidence, unmarked
from reporting.text.headings import Heading
from reporting.text.sentences import sentence_spans

_HEADINGS = {section.value: heading for heading, (section, _) in concepts.SECTIONS.items()}
_DEMONSTRATION = "Demonstration model"


@dataclass(frozen=True)
class Written:
    """A draft and its report object."""

    row: Draft
    report: Dataset


def current_draft(sessions: SessionFactory, spool: Spool, study_instance_uid: str) -> Written:
    """Return the current draft of a study.

    Parameters
    ----------
    sessions, spool
        The service's database and spool.
    study_instance_uid : str
        Of the study.

    Raises
    ------
    Refused
        There is no such study, it has no draft, or the draft was deleted.
    """
    query = (
        select(Draft)
        .join(Study)
        .options(selectinload(Draft.deliveries), joinedload(Draft.study))
        .where(Study.study_instance_uid == study_instance_uid, Draft.is_current)
    )
    with sessions() as session:
        row = session.scalar(query)
    if row is None:
        raise Refused(404, "no-draft", "the study has no draft")
    return Written(row, read_report(spool, row))


def read_report(spool: Spool, draft: Draft) -> Dataset:
    """Read the report object of a draft.

    Raises
    ------
    Refused
        It was deleted.
    """
    try:
        if draft.path:
            return dcmread(spool.absolute(draft.path))
    except FileNotFoundError:
        pass
    raise Refused(404, "draft-deleted", "the draft was deleted, as the settings of retention say")


def told(written: Written, sessions: SessionFactory, spool: Spool) -> dict[str, Any]:
    """Return a draft as its page takes it.

    Parameters
    ----------
    written : Written
        The draft.
    sessions, spool
        Know the slices that its sentences name.
    """
    row, report = written.row, written.report
    notices = [
        one.text for code, item in _containers(report) if code is None for one in _texts(item)
    ]
    places = _places(sessions, spool, report)
    sections = _sections(report, places)
    for section in sections:
        section["sentences"] += _withheld(row, section["heading"])
    sentences = [one for section in sections for one in section["sentences"]]
    return {
        "sop_instance_uid": row.sop_instance_uid,
        "revision": row.revision,
        "state": row.state if row.retraction_path is None else "retracted",
        "model": _model(row, report, notices),
        # The page has a legend that says the same
        "notices": [one for one in notices if not is_about_confidence(one)],
        "sections": sections,
        "calibrated_on": row.calibrated_on,
        "has_confidence": any(one["confidence"] for one in sentences),
        "has_evidence": any(one["evidence"] for one in sentences),
        "deliveries": [
            {
                "destination": one.destination,
                "state": one.state,
                "proved_at": one.proved_at and one.proved_at.isoformat(),
            }
            for one in row.deliveries
            if not one.retracts
        ],
    }


def plain_sections(report: Dataset) -> list[dict[str, str]]:
    """Return the sections of a report as text: what a review begins with."""
    found = []
    for heading, item in _containers(report):
        if heading is not None:
            lines = [one.text for one in _texts(item) if one.text not in (ABSTENTION, WITHHELD)]
            found.append({**_titled(heading), "text": "\n".join(lines)})
    return found


def sentences_of(report: Dataset) -> dict[str, str]:
    """Return the sentences of a report by their ids on the page."""
    sections = _sections(report, {})
    return {one["id"]: one["text"] for section in sections for one in section["sentences"]}


def series_read(report: Dataset) -> set[str]:
    """Return the UIDs of the series that a report was made of."""
    return {
        str(series.SeriesInstanceUID)
        for study in report.get("CurrentRequestedProcedureEvidenceSequence") or []
        for series in study.ReferencedSeriesSequence
    }


def _containers(report: Dataset) -> Iterator[tuple[Heading | None, Dataset]]:
    """Yield the sections; the one without a heading holds the notices."""
    for item in report.get("ContentSequence") or []:
        if item.get("ValueType") == "CONTAINER":
            yield _HEADINGS.get(str(item.ConceptNameCodeSequence[0].CodeValue)), item


def _titled(heading: Heading) -> dict[str, str]:
    return {"heading": heading.name, "title": str(heading)}


@dataclass(frozen=True)
class _Text:
    """A text of a section, the UIDs of the slices that it leans on, and how sure the model is."""

    text: str
    images: Sequence[str]
    level: str | None


def _texts(item: Dataset) -> Iterator[_Text]:
    items = item.get("ContentSequence") or []
    for one, behind in pairwise([*items, Dataset()]):
        if one.get("ValueType") == "TEXT":
            images = [
                str(image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
                for image in one.get("ContentSequence") or []
                if image.get("ValueType") == "IMAGE"
            ]
            # The page shows the word itself, and a reader's text does without
            text = unmarked(str(one.TextValue).replace("\r\n", " "))
            yield _Text(text, images, level_of(behind))


def _sections(report: Dataset, places: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    number = 0
    for heading, item in _containers(report):
        if heading is None:
            continue
        sentences: list[dict[str, Any]] = []
        for one in _texts(item):
            evidence = [places[uid] for uid in one.images if uid in places]
            for start, end in sentence_spans(one.text):
                number += 1
                sentence = _sentence(f"s{number}", one.text[start:end], one.level)
                sentences.append({**sentence, "evidence": evidence})
        found.append({**_titled(heading), "sentences": sentences})
    return found


def _withheld(row: Draft, heading: str) -> list[dict[str, Any]]:
    """Return the sentences that a section of a draft leaves out."""
    low = [text for where, text in row.withheld or [] if where == heading]
    reason = {"reason": "low-confidence"}
    return [
        {**_sentence(f"w{number}-{heading}", text, "low"), "withheld": reason}
        for number, text in enumerate(low, 1)
    ]


def _sentence(identity: str, text: str, level: str | None) -> dict[str, Any]:
    confidence = level and {"level": level}
    told = {"id": identity, "text": text, "confidence": confidence}
    return {**told, "evidence": [], "withheld": None}


def _places(sessions: SessionFactory, spool: Spool, report: Dataset) -> dict[str, dict[str, Any]]:
    """Say of each slice that a sentence leans on where a reader finds it."""
    containers = _containers(report)
    wanted = {uid for _, item in containers for one in _texts(item) for uid in one.images}
    if not wanted:
        return {}
    query = select(Instance.sop_instance_uid, Series.series_instance_uid, Instance.path)
    with sessions() as session:
        rows = session.execute(
            query.join(Series).where(Instance.sop_instance_uid.in_(wanted))
        ).all()
    return {uid: _place(spool, uid, series, path) for uid, series, path in rows}


def _place(spool: Spool, uid: str, series: str, path: str) -> dict[str, Any]:
    numbers = ["SeriesNumber", "InstanceNumber"]
    header = Dataset()
    with suppress(FileNotFoundError):
        header.update(dcmread(spool.absolute(path), stop_before_pixels=True, specific_tags=numbers))
    return {
        "series_instance_uid": series,
        "sop_instance_uid": uid,
        "series_number": whole_or_none(header.get("SeriesNumber")),
        "instance_number": whole_or_none(header.get("InstanceNumber")),
    }


def _model(row: Draft, report: Dataset, notices: Sequence[str]) -> dict[str, Any]:
    software = [*texts(report.get("SoftwareVersions")), "", ""]
    name = row.model_name or software[1].rpartition(" ")[0]
    return {
        "name": name,
        "version": software[1].removeprefix(name).strip(),
        "digest": row.model_digest,
        "demonstration": any(one.startswith(_DEMONSTRATION) for one in notices),
    }
