"""What a person asks for: deliver again, and look again for what was proved once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydicom import dcmread
from sqlalchemy import ColumnElement, Select, exists, or_, select
from sqlalchemy.orm import Session

from dicom_io.archives.proving.proof import Verdict
from dicom_io.errors import PluginError
from plugin.delivery.destinations import Destination
from plugin.delivery.outbox import DONE, OPEN
from plugin.delivery.proving import WRONG, look
from plugin.delivery.told import tell
from plugin.state.database import SessionFactory
from plugin.state.kinds import Kind
from plugin.state.running.bell import ring
from plugin.state.tables import Delivery, DeliveryState, Draft, Final, Level, Study


@dataclass(frozen=True)
class Selection:
    """Which deliveries of current drafts are meant; what is None does not narrow it.

    Parameters
    ----------
    destination : str, optional
        Its name in the settings.
    study : str, optional
        Accession number or Study Instance UID.
    draft : str, optional
        SOP Instance UID of the report object.
    since : datetime, optional
        The moment from which drafts were written.
    """

    destination: str | None = None
    study: str | None = None
    draft: str | None = None
    since: datetime | None = None

    def __str__(self) -> str:
        named = {"destination": self.destination, "study": self.study, "draft": self.draft}
        told = [f"{what} {name}" for what, name in named.items() if name is not None]
        return ", ".join([*told, *([f"since {self.since.isoformat()}"] if self.since else [])])

    @property
    def names_drafts(self) -> bool:
        """Whether certain drafts are meant, and not only a destination."""
        return any((self.study, self.draft, self.since))

    def deliveries(self) -> Select[Delivery]:
        """Choose them, oldest draft first."""
        newest = Draft.is_current | Delivery.final.has(Final.is_current)
        stands = newest & Draft.retraction_path.is_(None)
        chosen = (
            select(Delivery)
            .join(Draft)
            .join(Study)
            .where(Draft.path != "")  # deleted, as the retention says
            .where(or_(Delivery.retracts, stands))
        )
        if self.destination is not None:
            chosen = chosen.where(Delivery.destination == self.destination)
        if self.study is not None:
            chosen = chosen.where(self._is_study())
        if self.draft is not None:
            chosen = chosen.where(Draft.sop_instance_uid == self.draft)
        if self.since is not None:
            chosen = chosen.where(Draft.created_at >= self.since)
        return chosen.order_by(Delivery.id)

    def check(self, session: Session) -> None:
        """Refuse a study or a draft that there is not, as a mistyped one.

        Raises
        ------
        PluginError
            There is none.
        """
        if self.study is not None and not session.scalar(select(exists().where(self._is_study()))):
            raise PluginError("no such study: try the Study Instance UID")
        if self.draft is not None:
            same = Draft.sop_instance_uid == self.draft
            if not session.scalar(select(exists().where(same))):
                raise PluginError("no such draft: `ctscribe status --json` names those there are")

    def _is_study(self) -> ColumnElement[bool]:
        return or_(Study.accession_number == self.study, Study.study_instance_uid == self.study)


def redeliver(sessions: SessionFactory, selection: Selection, now: datetime) -> int:
    """Make deliveries due now; returns how many.

    Of a destination those that failed or wait; of drafts that are named, those that ended well
    too: they are looked for, and sent again where they are missing.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    selection : Selection
        Which.
    now : datetime
        The moment, in UTC.

    Raises
    ------
    PluginError
        There is no such study or draft.
    """
    states = [DeliveryState.FAILED, *OPEN, *(DONE if selection.names_drafts else ())]
    with sessions.begin() as session:
        selection.check(session)
        chosen = session.scalars(selection.deliveries().where(Delivery.state.in_(states))).all()
        for delivery in chosen:
            message = f"queued again for {delivery.destination}"
            _queue(session, delivery, Level.INFO, message, now)
        return len(chosen)


def verify(
    sessions: SessionFactory,
    spool: Path,
    destinations: Mapping[str, Destination],
    selection: Selection,
    now: datetime,
) -> Iterator[tuple[str, str, Verdict]]:
    """Look again for what was proved, as archives are restored from backups.

    What is missing is due again at once, what stands elsewhere is an alert. Yields the SOP Instance
    UID that was looked for, the destination's name, and what it shows, one after the other.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    spool : Path
        The folder that draft paths are relative to.
    destinations : mapping of str to Destination
        Those of the settings, by name.
    selection : Selection
        Which.
    now : datetime
        The moment, in UTC.

    Raises
    ------
    PeerUnreachable, AssociationRejected
        The archive cannot be asked.
    PluginError
        There is no such study or draft.
    """
    with sessions() as session:
        selection.check(session)
        proved = selection.deliveries().where(
            Delivery.state == DeliveryState.PROVED, Delivery.destination.in_(destinations)
        )
        asked = [
            (one.id, destinations[one.destination].taking(one.forms), spool / one.path)
            for one in session.scalars(proved)
        ]
    for delivery_id, destination, path in asked:
        if (verdict := look(destination, path)) is None:
            continue
        with sessions.begin() as session:
            delivery = session.get_one(Delivery, delivery_id)
            if delivery.is_taken_back:  # meanwhile: to be gone is right
                continue
            _correct(session, delivery, verdict, now)
        uid = dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID
        yield str(uid), destination.name, verdict


def _correct(session: Session, delivery: Delivery, verdict: Verdict, now: datetime) -> None:
    if delivery.state != DeliveryState.PROVED:
        return
    if verdict is Verdict.MISSING:
        message = f"no longer found at {delivery.destination}: sent again"
        _queue(session, delivery, Level.WARNING, message, now)
    elif verdict in WRONG:
        delivery.state = DeliveryState.FAILED
        delivery.last_error = WRONG[verdict]
        message = f"delivery to {delivery.destination} failed: {WRONG[verdict]}"
        tell(session, delivery, Level.ALERT, Kind.DELIVERY_FAILED, message, now)


def _queue(session: Session, delivery: Delivery, level: Level, message: str, now: datetime) -> None:
    """Begin anew; one attempt counts as made, so that the archive is looked at first."""
    delivery.state = DeliveryState.PENDING
    delivery.attempts = 1
    delivery.sends = delivery.misses = delivery.refusals = 0
    delivery.sent_at = None
    delivery.not_before = now
    ring(session)
    tell(session, delivery, level, Kind.DELIVERY_QUEUED, message, now)
