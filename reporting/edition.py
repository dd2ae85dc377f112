"""Which draft of its study a draft is, when it was written, and what it replaces."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

# Without the wrong identity, which no report on this patient may hold
_RETRACTED = ", which was filed under another patient or accession number and is retracted"


def _now() -> datetime:
    return datetime.now(UTC).astimezone()


@dataclass(frozen=True)
class Predecessor:
    """The report object that a new draft replaces.

    Parameters
    ----------
    study_instance_uid, series_instance_uid, sop_instance_uid : str
        Where it is.
    revision : int, optional
        Which draft of the study it was.
    written : datetime, optional
        When, with a time zone.
    retracted : bool
        Whether it was taken back, because the study's identity was corrected after it.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    revision: int | None = None
    written: datetime | None = None
    retracted: bool = False


@dataclass(frozen=True)
class Edition:
    """One draft among those of its study.

    Parameters
    ----------
    revision : int
        1 for a study's first draft.
    written : datetime
        With a time zone: the CT's where it states one, else that of this host.
    predecessor : Predecessor, optional
        The draft before this one.
    """

    revision: int = 1
    written: datetime = field(default_factory=_now)
    predecessor: Predecessor | None = None

    @property
    def sentence(self) -> str:
        """Say which draft this is: "Draft 2 of 2024-05-01 12:00 UTC+01:00, replaces draft 1 …"."""
        itself = f"Draft {self.revision} of {_shown(self.written)}"
        before = self.predecessor
        if before is None:
            return f"{itself}."
        which = "the draft before it" if before.revision is None else f"draft {before.revision}"
        moment = before.written and before.written.astimezone(self.written.tzinfo)
        when = f" of {_shown(moment)}" if moment else ""
        why = _RETRACTED if before.retracted else ""
        return f"{itself}, replaces {which}{when}{why}."


def _shown(moment: datetime) -> str:
    text = moment.isoformat(" ", "minutes")
    return f"{text[:16]} UTC{text[16:].removeprefix('+00:00')}"
