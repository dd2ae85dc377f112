"""Texts that readers put into reports by name: `/api/templates`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import AfterValidator, BaseModel, Field

from dicom_io.cleaned import cleaned_lines
from plugin.state.kept.people import SignIn
from plugin.web.access.sessions import Role
from plugin.web.dicomweb.problems import Refused, may_answer
from plugin.web.reading.room import Room
from plugin.web.reading.templates import HOUSE, delete_template, keep_template, templates_told

# What can be typed after a full stop (letters, digits, "-" and "_")
Name = Annotated[str, Path(pattern=r"^[\w-]{1,64}$")]
HeadingName = Literal["IMPRESSION", "FINDINGS", "TECHNIQUE"]
# Half of what a report may be
Text = Annotated[str, Field(max_length=20_000), AfterValidator(cleaned_lines)]


class Body(BaseModel):
    """A text, and where it is meant for."""

    kind: Literal["template", "macro"] = "macro"
    heading: HeadingName | None = None
    text: Text
    language: Literal["en", "de"] = "en"


def templates_router(room: Room) -> APIRouter:
    """Return the routes of templates."""
    router = APIRouter(prefix="/api/templates", tags=["reading"])
    sessions, reads = room.archive.sessions, room.signed_in(Role.READER)

    @router.get("", responses=may_answer())
    def show(me: SignIn = reads) -> dict[str, Any]:
        """List the house's texts, and one's own."""
        return templates_told(sessions, me.person_name)

    @router.put("/{name}", responses=may_answer(409, 422))
    def keep(name: Name, body: Body, house: bool = False, me: SignIn = reads) -> dict[str, Any]:
        """Keep a text under a name; administrators keep those of the house."""
        return keep_template(sessions, _owner(me, house=house), name, body.model_dump())

    @router.delete("/{name}", status_code=204, responses=may_answer(404, 422))
    def delete(name: Name, house: bool = False, me: SignIn = reads) -> None:
        """Delete a text."""
        delete_template(sessions, _owner(me, house=house), name)

    return router


def _owner(me: SignIn, *, house: bool) -> str:
    if house and Role.ADMINISTRATOR not in me.person.roles:
        raise Refused(403, "wrong-role", f"this needs the role {Role.ADMINISTRATOR}")
    return HOUSE if house else me.person_name
