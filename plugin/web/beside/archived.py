"""Studies of the same patient in an archive, and the reports that lie there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydicom import Dataset, dcmread

from dicom_io.archives.archive import Archive
from dicom_io.archives.patients.identity import Person
from dicom_io.archives.patients.studies import PatientStudies, is_of, texts_of
from dicom_io.cleaned import cleaned
from dicom_io.device import is_own
from dicom_io.errors import DamagedFile
from plugin.web.beside.looking import PATIENCE_S, Looking
from reporting.forms.source import is_accepted
from reporting.objects.render import document_lines

# Of one study: addenda and versions are few. The text of one is a dozen pages at most
_MOST_REPORTS, _LONGEST = 20, 100_000


@dataclass(frozen=True)
class ArchivedReport:
    """A report object of an archive, as text.

    Parameters
    ----------
    text : str
        Harmless lines.
    state : str
        "signed": complete and verified; "unsigned"; of this service "accepted" or "draft".
    date : str
        When it was written, as DICOM writes it.
    """

    text: str
    state: str
    date: str


class ArchivedPriors:
    """The prior studies in one archive, looked up when somebody asks.

    Parameters
    ----------
    name : str
        What people call the archive.
    archive : Archive
        Is asked.
    patience_s : float
        How long somebody waits for it.
    """

    def __init__(self, name: str, archive: Archive, patience_s: float = PATIENCE_S) -> None:
        self.name = name
        self._archive = archive
        self._studies = Looking[PatientStudies](patience_s)
        self._reports = Looking[tuple[ArchivedReport, ...]](patience_s)

    def studies(self, person: Person) -> PatientStudies:
        """Return the studies of a patient.

        Raises
        ------
        PeerUnreachable, AssociationRejected
            The archive does not answer in time, or refuses.
        MissingAttribute, UnreadableText
            Nobody can be asked for by this patient's number.
        """
        return self._studies.get(person, partial(self._archive.studies_of, person))

    def reports(self, person: Person, study_instance_uid: str) -> tuple[ArchivedReport, ...]:
        """Return the reports of a study of a patient, the latest first.

        Parameters
        ----------
        person : Person
            An object of anybody else is passed over.
        study_instance_uid : str
            One of `studies`.

        Raises
        ------
        PeerUnreachable, AssociationRejected
            The archive does not answer in time, or gives nothing to us.
        NotRetrieved, DamagedFile
            It gives less than it holds, or what cannot be read.
        """
        key = person, study_instance_uid
        return self._reports.get(key, partial(self._fetch, person, study_instance_uid))

    def _fetch(self, person: Person, study_instance_uid: str) -> tuple[ArchivedReport, ...]:
        with tempfile.TemporaryDirectory() as folder:
            self._archive.fetch(study_instance_uid, Path(folder), ("SR",))
            objects = [_read(path) for path in sorted(Path(folder).iterdir())]
            theirs = (
                one
                for one in objects
                if one.get("StudyInstanceUID") == study_instance_uid
                and is_of(person, texts_of(one))
            )
            return tuple(_reports_in(theirs))


def _read(path: Path) -> Dataset:
    try:
        return dcmread(path)
    except Exception as error:  # the border: an archive may send anything
        raise DamagedFile(f"a report cannot be read ({type(error).__name__})") from error


def _reports_in(objects: Iterable[Dataset]) -> list[ArchivedReport]:
    """Read what is text; a version that another one replaces is passed over."""
    try:
        documents = [one for one in objects if one.get("ValueType") == "CONTAINER"]
        replaced = {uid for one in documents for uid in _predecessors(one)}
        latest = [one for one in documents if one.get("SOPInstanceUID") not in replaced]
        found = sorted(map(_report, latest), key=lambda one: one[0], reverse=True)
    except Exception as error:  # the border: pydicom parses sequences when they are asked for
        raise DamagedFile(f"a report cannot be read ({type(error).__name__})") from error
    return [report for _, report in found if report.text][:_MOST_REPORTS]


def _report(document: Dataset) -> tuple[str, ArchivedReport]:
    """Return a report with the moment by which it is sorted."""
    date, time = (str(document.get(keyword) or "") for keyword in ("ContentDate", "ContentTime"))
    text = "\n".join(map(cleaned, document_lines(document))).strip()[:_LONGEST]
    return date + time, ArchivedReport(text, _state(document), cleaned(date))


def _state(document: Dataset) -> str:
    if is_own(document):
        return "accepted" if is_accepted(document) else "draft"
    flags = document.get("CompletionFlag"), document.get("VerificationFlag")
    preliminary = document.get("PreliminaryFlag") == "PRELIMINARY"
    return "signed" if flags == ("COMPLETE", "VERIFIED") and not preliminary else "unsigned"


def _predecessors(document: Dataset) -> Iterable[str]:
    """SOP Instance UIDs of what a document replaces (PS3.3 C.17.2)."""
    for study in document.get("PredecessorDocumentsSequence") or ():
        for series in study.get("ReferencedSeriesSequence") or ():
            for one in series.get("ReferencedSOPSequence") or ():
                yield str(one.get("ReferencedSOPInstanceUID"))
