"""What the rules decide of a study, and how the decision is kept and told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from plugin.rules.urgency import Urgency

_ACCEPTED = {
    "object": "accepted texts become report objects",
    "messages": "accepted texts go to HL7 and FHIR only",
    "copy": "accepted texts are sent nowhere",
}


@dataclass(frozen=True)
class Decision:
    """Whether and how a study is drafted; what is None is as the settings have it without rules.

    Parameters
    ----------
    rule : str, optional
        The name of the rule that the study meets.
    draft : bool
        Whether there is a draft.
    model : str, optional
        The name of the model that writes it.
    destinations, forms : tuple of str, optional
        Names of where it goes, and of the forms that archives get, the best first.
    urgency : Urgency
        How soon.
    quiet_s : float, optional
        Seconds without a slice, after which the study is complete.
    wanted_s : float, optional
        Seconds from the study's first slice to the moment from which nobody wants the draft.
    acceptance : str, optional
        What becomes of a text that is accepted: "object", "messages" or "copy".
    acceptance_status : str, optional
        Of what is accepted: "preliminary" or "final".
    """

    rule: str | None = None
    draft: bool = True
    model: str | None = None
    destinations: tuple[str, ...] | None = None
    forms: tuple[str, ...] | None = None
    urgency: Urgency = Urgency.ROUTINE
    quiet_s: float | None = None
    wanted_s: float | None = None
    acceptance: str | None = None
    acceptance_status: str | None = None

    def kept(self) -> dict[str, Any]:
        """As the database keeps it: what differs from the default."""
        default = Decision()
        return {key: value for key, value in asdict(self).items() if value != getattr(default, key)}

    @classmethod
    def of_kept(cls, kept: Mapping[str, Any]) -> Decision:
        """Read what `kept` wrote."""
        values = dict(kept)
        for key in ("destinations", "forms"):
            if values.get(key) is not None:
                values[key] = tuple(values[key])
        if "urgency" in values:
            values["urgency"] = Urgency(values["urgency"])
        return cls(**values)

    def __str__(self) -> str:
        why = f"rule {self.rule}" if self.rule else "no rule"
        return f"{why}: {', '.join(self.words())}"

    def words(self) -> list[str]:
        """What is decided, a few words each."""
        if not self.draft:
            return ["no draft"]
        to = " and ".join(self.destinations or ()) or "nowhere"
        return [
            f"draft, {self.urgency.word}",
            *([f"by model {self.model}"] if self.model else []),
            *([f"to {to}"] if self.destinations is not None else []),
            *([f"as {' or '.join(self.forms)}"] if self.forms else []),
            *([f"after {self.quiet_s:g} quiet seconds"] if self.quiet_s is not None else []),
            *([f"wanted for {self.wanted_s:g} s"] if self.wanted_s is not None else []),
            *([_ACCEPTED[self.acceptance]] if self.acceptance else []),
            *([f"accepted as {self.acceptance_status}"] if self.acceptance_status else []),
        ]


@dataclass(frozen=True)
class Step:
    """One rule that was asked.

    Parameters
    ----------
    rule : str
        Its name.
    met : bool
        Whether a series of the study meets its condition.
    why : str
        What the condition asked for, and found.
    fault : bool
        Whether the condition met a value for which it has no answer.
    """

    rule: str
    met: bool
    why: str
    fault: bool = False


@dataclass(frozen=True)
class Judgement:
    """A decision, every rule that was asked on the way to it, and who asked for an urgency."""

    decision: Decision
    steps: tuple[Step, ...] = field(default=())
    stated: str = ""
