"""A study that a radiologist has signed needs no draft: the archive is asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
)

from dicom_io.archives.archive import Archive
from dicom_io.errors import AssociationRejected, PeerUnreachable
from plugin.drafting.writing.parts import Missing
from plugin.state.clock import now_of
from plugin.state.database import SessionFactory
from plugin.state.kept.orders import order_of
from plugin.state.kinds import Kind
from plugin.state.tables import Level, Study
from plugin.state.timeline import add_event_once

# Others are measurements, doses and logs
_TEXTS = (BasicTextSRStorage, EnhancedSRStorage, ComprehensiveSRStorage, Comprehensive3DSRStorage)


@dataclass(frozen=True)
class FinalReports:
    """Looks for final reports in an archive.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    name : str
        What messages call the archive.
    archive : Archive
        Is asked for the reports of a study.
    """

    sessions: SessionFactory
    name: str
    archive: Archive

    def found(self, study_id: int, study_instance_uid: str) -> str | None:
        """Say that there is a final report; None where there is none, or nobody can tell.

        An archive that does not answer delays no draft: one too many harms less.
        """
        try:
            reports = self.archive.reports(study_instance_uid)
        except (PeerUnreachable, AssociationRejected) as error:
            self._tell(study_id, f"final reports could not be looked for at {self.name}: {error}")
            return None
        return f"{self.name} held a final report of the study" if is_final(reports) else None

    def _tell(self, study_id: int, message: str) -> None:
        kind, level = Kind.NOT_LOOKED_FOR, Level.WARNING
        with self.sessions.begin() as session:
            now = now_of(session)
            add_event_once(session, kind, message, now=now, study_id=study_id, level=level)


@dataclass(frozen=True)
class ToldReports:
    """Knows of the final reports that a RIS has told of.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    otherwise : callable
        Is asked where none was told.
    """

    sessions: SessionFactory
    otherwise: Missing

    def found(self, study_id: int, study_instance_uid: str) -> str | None:
        """Say that there is a final report; None where nobody knows of one."""
        with self.sessions() as session:
            order = order_of(session, session.get_one(Study, study_id))
            told = order is not None and order.reported_at is not None
        if told:
            return "a final report of the study had been told by HL7"
        return self.otherwise(study_id, study_instance_uid)


def is_final(reports: Iterable[Dataset]) -> bool:
    """Whether one of some reports is a text that somebody has verified (PS3.3 C.17.2).

    One whose flag is not told counts as not verified: it may be a draft, as ours are.
    """
    return any(
        one.get("SOPClassUID") in _TEXTS
        and str(one.get("VerificationFlag", "")).strip() == "VERIFIED"
        for one in reports
    )
