"""Which report belongs to which study: by accession number and patient ID, or not at all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from training.site.reports.reports import NoReport, SignedReport
from training.site.sources.source import StudyReference


class Matcher:
    """Finds the reports of a study among all of them.

    The accession number must be the same to the letter (white space around it apart), belong to
    one study and one patient, and the patient IDs must agree wherever both sides give one.

    Parameters
    ----------
    reports : iterable of SignedReport
        Of any studies.
    studies : iterable of StudyReference
        Every study that the source lists, so that an accession number that two of them share is
        seen.
    """

    def __init__(self, reports: Iterable[SignedReport], studies: Iterable[StudyReference]) -> None:
        self._reports: dict[str, list[SignedReport]] = defaultdict(list)
        for report in reports:
            self._reports[report.accession_number.strip()].append(report)
        self._studies: dict[str, list[StudyReference]] = defaultdict(list)
        for study in studies:
            self._studies[study.accession_number.strip()].append(study)

    def reports_of(self, study: StudyReference) -> tuple[SignedReport, ...]:
        """Return the reports of a study.

        Raises
        ------
        NoReport
            There is none, or it cannot be told that it is this study's.
        """
        accession = study.accession_number.strip()
        if not accession:
            raise NoReport("no accession number")
        sharing = self._studies[accession]
        if len({one.patient_id.strip() for one in sharing}) > 1:
            raise NoReport("its accession number belongs to several patients")
        if len({one.study_instance_uid for one in sharing}) > 1:
            raise NoReport("its accession number belongs to several studies")
        reports = self._reports.get(accession, [])
        if not reports:
            raise NoReport("no report")
        check_patient(study.patient_id, reports)
        return tuple(reports)


def check_patient(patient_id: str, reports: Iterable[SignedReport]) -> None:
    """Refuse reports of another patient.

    Raises
    ------
    NoReport
        A report gives patient IDs, and this one is not among them.
    """
    wanted = patient_id.strip()
    for report in reports:
        stated = {one.strip() for one in report.patient_ids} - {""}
        if wanted and stated and wanted not in stated:
            raise NoReport("its report is of another patient")
