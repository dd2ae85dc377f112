"""Deliveries that wait or failed, and how they are tried again."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import joinedload

from dicom_io.errors import NotKnown, PluginError
from plugin.assembly import require_known
from plugin.delivery.redelivery import Selection
from plugin.delivery.redelivery import redeliver as queue
from plugin.settings import Settings
from plugin.state import audit
from plugin.state.audit import Action, Entry, Who
from plugin.state.clock import now_by, now_of
from plugin.state.database import SessionFactory
from plugin.state.tables import Delivery, Draft


def redeliver(settings: Settings, sessions: SessionFactory, selection: Selection, who: Who) -> int:
    """Make deliveries due again; returns how many.

    Parameters
    ----------
    settings : Settings
        Of the service.
    sessions : SessionFactory
        Of its database.
    selection : Selection
        Which.
    who : Who
        Asks for it.

    Raises
    ------
    ConfigurationError
        The settings know no such destination.
    PluginError
        There is no such study or draft.
    """
    require_known(settings, selection)
    with sessions.begin() as session:
        asked = f"deliver again: {selection}"
        audit.record(
            session, Entry(action=Action.ASKED, who=who, detail=asked), now=now_of(session)
        )
    return queue(sessions, selection, now_by(sessions))


def retry(settings: Settings, sessions: SessionFactory, delivery_id: int, who: Who) -> int:
    """Make one delivery due again; see `redeliver`.

    Parameters
    ----------
    settings : Settings
        Of the service.
    sessions : SessionFactory
        Of its database.
    delivery_id : int
        Key of the delivery.
    who : Who
        Asks for it.

    Raises
    ------
    NotKnown
        There is none.
    PluginError
        Its draft was replaced, or deleted.
    """
    with sessions() as session:
        found = session.get(Delivery, delivery_id)
        if found is None:
            raise NotKnown("there is no such delivery")
        selection = Selection(found.destination, draft=found.draft.sop_instance_uid)
    if not (count := redeliver(settings, sessions, selection, who)):
        raise PluginError("the draft was replaced by a newer one, or its file was deleted")
    return count


def deliveries(
    sessions: SessionFactory,
    states: list[str],
    destination: str | None,
    before: int | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Return deliveries, the newest first.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    states : list of str
        See `DeliveryState`; empty is any.
    destination : str, optional
        Its name.
    before : int, optional
        Only those with a smaller key: the next page.
    limit : int
        So many.
    """
    chosen = select(Delivery).options(joinedload(Delivery.draft).joinedload(Draft.study))
    if states:
        chosen = chosen.where(Delivery.state.in_(states))
    if destination is not None:
        chosen = chosen.where(Delivery.destination == destination)
    if before is not None:
        chosen = chosen.where(Delivery.id < before)
    with sessions() as session:
        rows = session.scalars(chosen.order_by(Delivery.id.desc()).limit(limit)).all()
        return [_to_dict(one) for one in rows]


def _to_dict(one: Delivery) -> dict[str, Any]:
    study = one.draft.study
    return {
        "id": one.id,
        "study_instance_uid": study.study_instance_uid,
        "accession_number": study.accession_number,
        "revision": one.draft.revision,
        "is_current": one.draft.is_current,
        "rejection_note": one.retracts,
        "accepted_report": one.final_id is not None,
        "destination": one.destination,
        "kind": one.kind,
        "state": one.state,
        "attempts": one.attempts,
        "last_error": one.last_error,
        "not_before": one.not_before,
        "sent_at": one.sent_at,
        "proved_at": one.proved_at,
    }
