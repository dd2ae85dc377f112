"""Which instances there are, and where they lie."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, select

from plugin.reception.header import valid_uid
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.tables import Instance, Series, Study
from plugin.web.dicomweb.problems import Refused


@dataclass(frozen=True)
class Kept:
    """An instance that lies in the spool."""

    study: str
    series: str
    sop_instance: str
    sop_class: str
    transfer_syntax: str
    path: Path
    size: int
    sha256: str

    @property
    def address(self) -> str:
        """Where its resource is, below the root of DICOMweb."""
        return f"studies/{self.study}/series/{self.series}/instances/{self.sop_instance}"


# Without an object for each: a series has hundreds, and a viewer asks for it at every look
_COLUMNS = (
    Instance.sop_instance_uid,
    Instance.sop_class_uid,
    Instance.transfer_syntax_uid,
    Instance.path,
    Instance.size,
    Instance.sha256,
)


@dataclass(frozen=True)
class Archive:
    """The instances of a service.

    Parameters
    ----------
    sessions, spool
        The service's database and spool.
    """

    sessions: SessionFactory
    spool: Spool

    def instances(
        self, study: str, series: str | None = None, sop_instance: str | None = None
    ) -> Sequence[Kept]:
        """Return the instances of a study, of a series, or the one of a UID, as they came.

        Parameters
        ----------
        study, series, sop_instance : str
            UIDs; None is any.

        Raises
        ------
        Refused
            There is none.
        """
        asked = {Study.study_instance_uid: study, Series.series_instance_uid: series}
        asked[Instance.sop_instance_uid] = sop_instance
        wanted = {column: uid for column, uid in asked.items() if uid is not None}
        known = all(map(valid_uid, wanted.values()))
        found = self._instances(column == uid for column, uid in wanted.items()) if known else []
        if not found:
            raise Refused(404, "not-found", "no instance here has these UIDs")
        return found

    def _instances(self, wanted: Iterable[ColumnElement[bool]]) -> list[Kept]:
        query = (
            select(*_COLUMNS, Series.series_instance_uid, Study.study_instance_uid)
            .join(Series, Series.id == Instance.series_id)
            .join(Study, Study.id == Instance.study_id)
            .where(*wanted)
            .order_by(Instance.id)
        )
        with self.sessions() as session:
            rows = session.execute(query)
            return [self.kept(row, row[-2], row[-1]) for row in rows]

    def kept(self, row: Any, series: str, study: str) -> Kept:
        """Return what a row tells of an instance.

        Parameters
        ----------
        row : Instance or Row
            Of the database, with the columns of an instance.
        series, study : str
            UIDs that it belongs to.
        """
        return Kept(
            study=study,
            series=series,
            sop_instance=row.sop_instance_uid,
            sop_class=row.sop_class_uid,
            transfer_syntax=row.transfer_syntax_uid,
            path=self.spool.absolute(row.path),
            size=row.size,
            sha256=row.sha256,
        )
