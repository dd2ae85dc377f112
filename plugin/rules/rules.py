"""The rules of the settings, in their order: the first one that a study meets decides."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from plugin.rules.decision import Decision, Judgement, Step
from plugin.rules.problems import Undecided
from plugin.rules.urgency import Urgency
from plugin.sections.section import require_unique

if TYPE_CHECKING:
    from plugin.rules.condition import Condition
    from plugin.rules.facts import Facts

Seconds = Annotated[float, Field(gt=0)]
NO_MESSAGES = '"messages" wants a destination of the kind hl7 or fhir'


class Rule(BaseModel):
    """A table `[[rules]]`: a condition, and what is done with a study that meets it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=64)
    when: str | None = Field(
        default=None, description="condition over one series of the study; none is always met"
    )
    draft: bool = Field(default=True, description="whether there is a draft")
    model: str | None = Field(default=None, description="name of a table [[models]]")
    destinations: tuple[str, ...] | None = Field(
        default=None, description="names of destinations; by default all"
    )
    forms: tuple[Literal["enhanced-sr", "text-sr", "pdf", "image"], ...] | None = Field(
        default=None, min_length=1, description="in place of the destinations' own forms"
    )
    urgency: Literal["stat", "high", "routine", "low"] | None = Field(
        default=None, description="by default what the headers say, or routine"
    )
    quiet_s: Seconds | None = Field(default=None, description="in place of completeness.quiet_s")
    wanted_s: Seconds | None = Field(
        default=None, description="so long after its first slice nobody wants the draft any more"
    )
    acceptance: Literal["object", "messages", "copy"] | None = Field(
        default=None, description="in place of web.acceptance.what"
    )
    acceptance_status: Literal["preliminary", "final"] | None = Field(
        default=None, description="in place of web.acceptance.status"
    )

    @field_validator("when")
    @classmethod
    def _is_a_condition(cls, value: str | None) -> str | None:
        if value is not None:
            _condition(value)
        return value

    @cached_property
    def condition(self) -> Condition | None:
        """Its condition, ready to be asked."""
        return None if self.when is None else _condition(self.when)

    def ask(self, series: Sequence[Facts]) -> Step:
        """Ask whether a series of a study meets the condition."""
        condition = self.condition
        if condition is None:
            return Step(self.name, True, "it has no condition")
        faults = []
        for facts in series:
            try:
                if condition.holds(facts):
                    return Step(self.name, True, _seen(condition, [facts]))
            except Undecided as error:
                faults.append(str(error))
        why = "; ".join([_seen(condition, series), *faults])
        return Step(self.name, False, why, fault=bool(faults))

    def decision(self, stated: Urgency) -> Decision:
        """Return what is done with a study that meets it.

        Parameters
        ----------
        stated : Urgency
            What the study's headers say.
        """
        return Decision(
            rule=self.name,
            draft=self.draft,
            model=self.model,
            destinations=self.destinations,
            forms=self.forms,
            urgency=stated if self.urgency is None else Urgency[self.urgency.upper()],
            quiet_s=self.quiet_s,
            wanted_s=self.wanted_s,
            acceptance=self.acceptance,
            acceptance_status=self.acceptance_status,
        )


def require_known(
    rules: Sequence[Rule],
    *,
    destinations: Sequence[str],
    models: Sequence[str],
    bound: Sequence[str] = (),
    messaged: Sequence[str] = (),
) -> None:
    """Refuse names that nothing has, and names of two rules or models.

    Parameters
    ----------
    rules : sequence of Rule
        Of one file.
    destinations, models : sequence of str
        The names that there are.
    bound : sequence of str
        Names of destinations that take no form but the Enhanced SR.
    messaged : sequence of str
        Names of destinations that take HL7 messages or FHIR reports.

    Raises
    ------
    ValueError
        In a sentence.
    """
    for what, names in (("rules", [one.name for one in rules]), ("models", models)):
        require_unique(names, what)
    for rule in rules:
        if rule.model is not None and rule.model not in models:
            raise ValueError(f"rule {rule.name}: no model is called {rule.model}")
        for name in rule.destinations or ():
            if name not in destinations:
                raise ValueError(f"rule {rule.name}: no destination is called {name}")
        if rule.acceptance == "messages" and not {*messaged} & {*(rule.destinations or messaged)}:
            raise ValueError(f"rule {rule.name}: acceptance: {NO_MESSAGES}")
        meant = bound if rule.destinations is None else set(bound) & set(rule.destinations)
        if meant and rule.forms not in (None, ("enhanced-sr",)):
            raise ValueError(f"rule {rule.name}: forms: {min(meant)} needs the Enhanced SR itself")


@dataclass(frozen=True)
class Rules:
    """All rules of a settings file; without any, every study is drafted and sent everywhere."""

    rules: tuple[Rule, ...] = ()

    @cached_property
    def digest(self) -> str:
        """The same for the same rules: SHA-256, the first 12 digits."""
        tables = [rule.model_dump(mode="json") for rule in self.rules]
        return sha256(json.dumps(tables, sort_keys=True).encode()).hexdigest()[:12]

    def judge(self, series: Sequence[Facts], stated: Urgency | None = None) -> Judgement:
        """Decide what is done with a study.

        Parameters
        ----------
        series : sequence of Facts
            Of each of its series that a model may read. A rule is met where one of them meets the
            whole condition.
        stated : Urgency, optional
            What the headers say; by default routine.
        """
        urgency, steps = Urgency.ROUTINE if stated is None else stated, []
        for rule in self.rules:
            steps.append(rule.ask(series))
            if steps[-1].met:
                return Judgement(rule.decision(urgency), tuple(steps))
        return Judgement(Decision(urgency=urgency), tuple(steps))


def _condition(text: str) -> Condition:
    from plugin.rules.condition import Condition  # half a second, for settings with rules alone

    return Condition(text)


def _seen(condition: Condition, series: Sequence[Facts]) -> str:
    """Say what the names of a condition are, once for each series that differs."""
    seen = dict.fromkeys(
        ", ".join(f"{name} is {_shown(facts[name])}" for name in condition.names)
        for facts in series
    )
    return "; ".join(filter(None, seen)) or "no series of it has arrived"


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}" if value == value else "absent"
    return f'"{value}"' if isinstance(value, str) else str(value).lower()
