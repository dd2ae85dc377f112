"""Texts that readers put into reports by name: their own, and those of the house."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from plugin.state.database import SessionFactory
from plugin.state.kept.reviews import Template
from plugin.web.dicomweb.problems import Refused

HOUSE = ""
# More than anybody remembers the names of
_MOST = 500


def templates_told(sessions: SessionFactory, person: str) -> dict[str, list[dict[str, Any]]]:
    """Return the texts of the house and of a person, by name.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    person : str
        The name that they sign in with.
    """
    query = select(Template).where(Template.owner.in_((HOUSE, person))).order_by(Template.name)
    with sessions() as session:
        rows = session.scalars(query).all()
    return {
        "house": [_told(one) for one in rows if one.owner == HOUSE],
        "mine": [_told(one) for one in rows if one.owner != HOUSE],
    }


def keep_template(
    sessions: SessionFactory, owner: str, name: str, values: dict[str, Any]
) -> dict[str, Any]:
    """Keep a text under its name, in place of the one that had it.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    owner : str
        Whose it is.
    name : str
        How it is called.
    values : dict
        Its kind, heading, text and language.

    Raises
    ------
    Refused
        There are too many.
    """
    with sessions.begin() as session:
        row = _named(session, owner, name)
        if row is None:
            owned = session.scalars(select(Template.id).where(Template.owner == owner)).all()
            if len(owned) >= _MOST:
                raise Refused(409, "too-many", f"there are {_MOST} already: delete some first")
            row = Template(owner=owner, name=name)
            session.add(row)
        for key, value in values.items():
            setattr(row, key, value)
        return _told(row)


def delete_template(sessions: SessionFactory, owner: str, name: str) -> None:
    """Delete a text.

    Parameters
    ----------
    sessions : SessionFactory
        Of the service's database.
    owner : str
        Whose it is.
    name : str
        How it is called.

    Raises
    ------
    Refused
        There is none.
    """
    with sessions.begin() as session:
        row = _named(session, owner, name)
        if row is None:
            raise Refused(404, "not-found", "there is no such template")
        session.delete(row)


def _named(session: Session, owner: str, name: str) -> Template | None:
    query = select(Template).where(Template.owner == owner, Template.name == name)
    return session.scalar(query.with_for_update())


def _told(row: Template) -> dict[str, Any]:
    keys = ("name", "kind", "heading", "text", "language")
    return {key: getattr(row, key) for key in keys}
