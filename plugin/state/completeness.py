"""The strongest evidence that a study is complete: the archive's own number of its slices."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select

from dicom_io.archives.inventory import missing_from
from dicom_io.errors import AssociationRejected, PeerUnreachable
from plugin.delivery.destinations import Destination
from plugin.state.database import SessionFactory
from plugin.state.tables import Instance, Level, Series
from plugin.state.timeline import add_event_once


def nothing_known(study_id: int, study_instance_uid: str) -> None:
    """Stand in where no archive is asked."""


@dataclass(frozen=True)
class ArchiveCount:
    """Compares what arrived with what an archive holds.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    destination : Destination
        Its archive is asked for all CT series of the study, those included that are not sent here.
    """

    sessions: SessionFactory
    destination: Destination

    def missing(self, study_id: int, study_instance_uid: str) -> str | None:
        """Say which instances have not arrived; None where all have, or nobody can tell.

        An archive that does not answer delays no draft: the quiet period has decided already.
        """
        try:
            inventory = self.destination.archive.count(study_instance_uid)
        except (PeerUnreachable, AssociationRejected) as error:
            where = self.destination.name
            self._tell(study_id, f"the slices could not be counted at {where}: {error}")
            return None
        missing = missing_from(self._received(study_id), inventory)
        if not missing:
            return None
        total = sum(inventory.values())
        return f"{missing} of {total} CT instances at {self.destination.name} have not arrived"

    def _received(self, study_id: int) -> dict[str, int]:
        rows = (
            select(Series.series_instance_uid, func.count())
            .join(Instance, Instance.series_id == Series.id)
            .where(Instance.study_id == study_id)
            .group_by(Series.series_instance_uid)
        )
        with self.sessions() as session:
            return {row[0]: row[1] for row in session.execute(rows)}

    def _tell(self, study_id: int, message: str) -> None:
        with self.sessions.begin() as session:
            add_event_once(
                session,
                "not-counted",
                message,
                now=datetime.now(UTC),
                study_id=study_id,
                level=Level.WARNING,
            )
