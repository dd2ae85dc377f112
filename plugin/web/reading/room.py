"""What every route of the reading room is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from plugin.state.kept.people import SignIn
from plugin.web.access.gate import Gate
from plugin.web.access.sessions import Role
from plugin.web.dicomweb.archive import Archive
from plugin.web.dicomweb.routes import Identify, Views
from plugin.web.reading.decisions import Consequences, Decisions
from plugin.web.reading.feed import Feed
from plugin.web.reading.reviews import Reviews
from plugin.web.reading.studies import Link
from plugin.web.reading.worklist import Worklist


def no_other_viewer(_: str) -> None:
    """Stand in where the settings name no OHIF."""


@dataclass(frozen=True)
class Room:
    """The reading room of one service.

    Parameters
    ----------
    gate : Gate
        Lets requests in.
    archive : Archive
        Where studies are.
    feed : Feed
        Tells open pages what changes; something must run it.
    identify : Identify
        Names who asks, for the audit trail.
    ohif : callable
        The address of a study in OHIF.
    consequences : Consequences
        What follows where a draft is accepted or rejected.
    """

    gate: Gate
    archive: Archive
    feed: Feed
    identify: Identify
    ohif: Link = no_other_viewer
    consequences: Consequences = field(default_factory=Consequences)
    worklist: Worklist = field(init=False)
    views: Views = field(init=False)
    reviews: Reviews = field(init=False)
    decisions: Decisions = field(init=False)

    def __post_init__(self) -> None:
        sessions = self.archive.sessions
        object.__setattr__(self, "worklist", Worklist(self.archive))
        shown = "its draft, in the reading room"
        object.__setattr__(self, "views", Views(sessions, self.identify, shown))
        reviews = Reviews(sessions, self.archive.spool)
        object.__setattr__(self, "reviews", reviews)
        object.__setattr__(self, "decisions", Decisions(reviews, self.consequences))

    def signed_in(self, role: Role, *, uses: bool = True) -> SignIn:
        """Return the default of a route's parameter: it becomes the session of who asks."""
        dependency: Any = self.gate.allowed(role, uses=uses)
        found: SignIn = dependency
        return found
