"""The rules of the service, and what others would have done."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, StringConstraints

from plugin.administration.replay import replay
from plugin.rules.rules import Rule, Rules
from plugin.settings import with_rules
from plugin.web.routes.office import REFUSALS, Moment, Office, Told, telling

# Some hundred rules; more is no settings file
_LONGEST = 200_000


class Trial(BaseModel):
    """Rules to try on the studies that came since a moment."""

    rules: Annotated[str, StringConstraints(max_length=_LONGEST)]
    since: Moment


def rules_router(office: Office) -> APIRouter:
    """Return the routes of rules."""
    router = APIRouter(prefix="/rules")

    @router.get("", responses=REFUSALS)
    def show() -> Told:
        """Return the rules of the settings, as tables and as TOML."""
        with telling():
            rules = Rules(office.read_settings().rules)
        tables = [rule.model_dump(mode="json") for rule in rules.rules]
        return {"digest": rules.digest, "rules": tables, "text": _as_toml(rules.rules)}

    @router.post("/replay", responses=REFUSALS)
    def try_out(trial: Trial) -> Told:
        """Judge past studies by other rules; nothing is changed."""
        with telling():
            settings = office.read_settings()
            rules = Rules(settings.rules), Rules(with_rules(settings, trial.rules).rules)
            return replay(office.sessions, office.spool, rules, trial.since).to_dict()

    return router


def _as_toml(rules: Iterable[Rule]) -> str:
    tables = []
    for rule in rules:
        told = rule.model_dump(mode="json", exclude_defaults=True)
        # Strings, numbers and lists of JSON are those of TOML
        lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in told.items()]
        tables.append("\n".join(["[[rules]]", *lines]))
    return "\n\n".join(tables)
